//! The proxy language for Python: programs, tables, and the tables of operators and inputs.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyList};

use crate::dsl::ops::{CONSTANTS, Form, TABLE};
use crate::dsl::{self, Axes, Error, Kind, Limits, Schema, Scratch, Span, Verdict, inputs};

/// A compiled program.
#[pyclass(frozen, module = "tap._core")]
pub struct Program {
    source: String,
    program: dsl::Program,
    schema: Schema,
    limits: Limits,
}

/// A layer table as the core reads it.
#[pyclass(frozen, module = "tap._core")]
pub struct Table {
    pub(super) table: dsl::Table,
    pub(super) schema: Schema,
    units: Vec<String>,
}

/// Compile one program; `columns` are the user's own inputs as (name, axes).
#[pyfunction]
#[pyo3(signature = (source, columns = None, limits = None))]
pub fn compile(
    py: Python<'_>,
    source: &str,
    columns: Option<Vec<(String, Vec<String>)>>,
    limits: Option<&Bound<'_, PyDict>>,
) -> PyResult<Program> {
    let (schema, limits) = (schema_of(&columns.unwrap_or_default())?, limits_of(limits)?);
    let program =
        dsl::compile(source, &schema, &limits).map_err(|error| raised(py, &error, source.as_bytes()))?;
    Ok(Program { source: source.to_string(), program, schema, limits })
}

#[pymethods]
impl Program {
    /// Canonical identity, 32 hexadecimal digits.
    #[getter]
    fn hash(&self) -> String {
        self.program.hash().hex()
    }

    /// Axes of the score: nothing, or format.
    #[getter]
    fn axes(&self) -> Vec<&'static str> {
        self.program.axes.words().collect()
    }

    /// Names of the inputs it reads.
    #[getter]
    fn inputs(&self) -> Vec<String> {
        self.program.inputs.iter().map(|id| self.schema.name(*id).to_string()).collect()
    }

    /// Number of operators after equal subexpressions are merged.
    #[getter]
    fn ops(&self) -> u32 {
        self.program.ops
    }

    /// What the parser put right, as (start, end, message).
    #[getter]
    fn notes(&self) -> Vec<(u32, u32, String)> {
        self.program.notes.iter().map(|note| (note.span.start, note.span.end, note.message.clone())).collect()
    }

    /// The instructions as text.
    fn listing(&self) -> String {
        self.program.listing(&self.schema)
    }

    /// Scores [L, F].
    fn score<'py>(&self, py: Python<'py>, table: &Table) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let scores =
            py.detach(|| self.scores(table)).map_err(|error| raised(py, &error, self.source.as_bytes()))?;
        let (units, formats) = (table.table.units(), table.table.formats());
        let array = PyArray2::zeros(py, [units, formats], false);
        let mut rows = array.readwrite();
        for (unit, mut row) in rows.as_array_mut().rows_mut().into_iter().enumerate() {
            row.iter_mut().zip(scores.iter().skip(unit).step_by(units)).for_each(|(to, from)| *to = *from);
        }
        drop(rows);
        Ok(array)
    }
}

impl Program {
    /// Scores, format-major; the program is checked anew when the table has other columns of the user.
    fn scores(&self, table: &Table) -> Result<Vec<f64>, Error> {
        let again;
        let program = if self.schema == table.schema {
            &self.program
        } else {
            again = dsl::compile(&self.source, &table.schema, &self.limits)?;
            &again
        };
        let mut scratch = Scratch::default();
        match dsl::run(program, &table.table, &table.schema, &self.limits, &mut scratch)? {
            Verdict::Finite => Ok(scratch.scores().to_vec()),
            Verdict::NonFinite(place) => Err(place.error(program, &table.schema, &table.units)),
        }
    }
}

#[pymethods]
impl Table {
    /// `whole` and `sampled` are sizes [L, 3] of (out, in, pos); the columns and samples are added after.
    #[new]
    fn new(
        units: Vec<String>,
        formats: usize,
        whole: PyReadonlyArray2<'_, i64>,
        sampled: PyReadonlyArray2<'_, i64>,
        columns: Vec<(String, PyReadonlyArrayDyn<'_, f64>)>,
        samples: Vec<(String, Vec<String>, PyReadonlyArray1<'_, f32>)>,
    ) -> PyResult<Table> {
        let misfit = |misfit: dsl::table::Misfit| PyValueError::new_err(misfit.0);
        let (whole, sampled) = (sizes(&whole)?, sizes(&sampled)?);
        let mut table = dsl::Table::new(formats, &whole, &sampled).map_err(misfit)?;
        let mut schema = Schema::new();
        for (name, values) in &columns {
            let values = values.as_array();
            let axes = if values.ndim() == 2 { Axes::FORMAT } else { Axes::NONE };
            let (id, axes) = declare(&mut schema, name, axes)?;
            let copies = if axes == Axes::FORMAT && values.ndim() == 1 { formats } else { 1 };
            let column: Vec<f64> = values.t().iter().copied().collect();
            table.set_column(id, axes, column.repeat(copies)).map_err(misfit)?;
        }
        for (name, words, values) in &samples {
            let (id, axes) = declare(&mut schema, name, axes_of(words)?)?;
            table.set_sample(id, axes, values.as_slice()?.to_vec()).map_err(misfit)?;
        }
        Ok(Table { table, schema, units })
    }
}

/// The id of an input, added to the schema when it is the user's own, and the axes it must have.
fn declare(schema: &mut Schema, name: &str, axes: Axes) -> PyResult<(u16, Axes)> {
    if let Some(id) = schema.id(name) {
        return Ok((id, schema.axes(id)));
    }
    if !schema.add(name, axes) {
        return Err(PyValueError::new_err(format!("'{name}' cannot be the name of an input")));
    }
    schema.id(name).map(|id| (id, axes)).ok_or_else(|| PyValueError::new_err("too many inputs"))
}

fn sizes(array: &PyReadonlyArray2<'_, i64>) -> PyResult<Vec<[u64; 3]>> {
    let rows = array.as_array();
    let size = |row: &[u64]| <[u64; 3]>::try_from(row).map_err(|_| PyValueError::new_err("sizes are [L, 3]"));
    rows.rows()
        .into_iter()
        .map(|row| size(&row.iter().map(|size| u64::try_from(*size).unwrap_or(0)).collect::<Vec<_>>()))
        .collect()
}

fn axes_of(words: &[String]) -> PyResult<Axes> {
    words.iter().try_fold(Axes::NONE, |axes, word| {
        let axis =
            Axes::from_word(word).ok_or_else(|| PyValueError::new_err(format!("'{word}' is no axis")))?;
        Ok(axes.union(axis))
    })
}

fn schema_of(columns: &[(String, Vec<String>)]) -> PyResult<Schema> {
    let mut schema = Schema::new();
    for (name, words) in columns {
        declare(&mut schema, name, axes_of(words)?)?;
    }
    Ok(schema)
}

/// Limits from a dictionary; those it lacks keep their defaults.
pub(super) fn limits_of(given: Option<&Bound<'_, PyDict>>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    for (name, value) in given.iter().flat_map(|given| given.iter()) {
        let name = name.extract::<String>()?;
        if !limits.set(&name, value.extract()?) {
            return Err(PyValueError::new_err(format!("there is no limit '{name}'")));
        }
    }
    Ok(limits)
}

/// The limits of a program, each as (name, default).
#[pyfunction]
pub fn limits() -> Vec<(&'static str, u64)> {
    Limits::default().named().to_vec()
}

/// `tap.errors.ProxyError` for an error of the core.
pub(super) fn raised(py: Python<'_>, error: &Error, source: &[u8]) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let keywords = PyDict::new(py);
        keywords.set_item("hint", if error.hint.is_empty() { None } else { Some(&error.hint) })?;
        keywords.set_item("kind", error.kind.code())?;
        keywords.set_item("span", (error.span.start, error.span.end))?;
        keywords.set_item("report", error.report(source))?;
        let class = py.import("tap.errors")?.getattr("ProxyError")?;
        Ok(PyErr::from_value(class.call((&error.message,), Some(&keywords))?))
    };
    build().unwrap_or_else(|failure| failure)
}

/// An error as JSON: kind, message, hint, span, line, column, report.
#[pyfunction]
pub fn error_json(
    source: &str,
    kind: &str,
    span: (u32, u32),
    message: String,
    hint: String,
) -> PyResult<String> {
    let kind = Kind::from_code(kind).ok_or_else(|| PyValueError::new_err("no such kind of error"))?;
    let span = Span::new(span.0, span.1);
    Ok(Error { kind, span, message, hint }.json(source.as_bytes()))
}

/// The operators, each as a dictionary: name, kind, arguments, cost, doc.
#[pyfunction]
pub fn operators(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let rows = PyList::empty(py);
    for spec in TABLE.iter().filter(|spec| spec.form != Form::None) {
        let row = PyDict::new(py);
        row.set_item("name", spec.name)?;
        row.set_item("kind", format!("{:?}", spec.class).to_lowercase())?;
        row.set_item("call", matches!(spec.form, Form::Call(..)))?;
        row.set_item("arguments", spec.arguments)?;
        row.set_item("cost", spec.cost)?;
        row.set_item("doc", spec.doc)?;
        rows.append(row)?;
    }
    Ok(rows)
}

/// The inputs, each as (name, axes, doc).
#[pyfunction(name = "inputs")]
pub fn input_rows() -> Vec<(&'static str, Vec<&'static str>, &'static str)> {
    inputs::TABLE.iter().map(|input| (input.name, input.axes.words().collect(), input.doc)).collect()
}

/// The named constants, each as (name, value, doc).
#[pyfunction]
pub fn constants() -> Vec<(&'static str, f64, &'static str)> {
    CONSTANTS.to_vec()
}

/// The canonical print of a program: parsing it again and printing changes nothing.
#[pyfunction]
#[pyo3(signature = (source, limits = None))]
pub fn format_source(py: Python<'_>, source: &str, limits: Option<&Bound<'_, PyDict>>) -> PyResult<String> {
    let (schema, limits) = (Schema::new(), limits_of(limits)?);
    let ast = dsl::parse::parse(source.as_bytes(), &schema, &limits)
        .map_err(|error| raised(py, &error, source.as_bytes()))?;
    Ok(dsl::print::print(&ast, source.as_bytes(), &schema, usize::MAX).unwrap_or_default())
}

/// `count` random well-typed programs of about `ops` operators, reading `inputs` (all when None).
#[pyfunction]
#[pyo3(signature = (seed, count, ops, inputs = None, columns = None))]
pub fn random_programs(
    py: Python<'_>,
    seed: u64,
    count: usize,
    ops: usize,
    inputs: Option<Vec<String>>,
    columns: Option<Vec<(String, Vec<String>)>>,
) -> PyResult<Vec<String>> {
    let schema = schema_of(&columns.unwrap_or_default())?;
    let inputs = ids(&schema, inputs)?;
    Ok(py.detach(|| dsl::random::programs(seed, count, ops, &schema, &inputs)))
}

/// `count` offspring of programs, and the place of the first parent of each (-1: made anew).
#[pyfunction]
#[pyo3(signature = (seed, parents, count, inputs = None, columns = None, limits = None, threads = 1))]
#[allow(clippy::too_many_arguments)]
pub fn vary<'py>(
    py: Python<'py>,
    seed: u64,
    parents: Vec<PyBackedStr>,
    count: usize,
    inputs: Option<Vec<String>>,
    columns: Option<Vec<(String, Vec<String>)>>,
    limits: Option<&Bound<'_, PyDict>>,
    threads: usize,
) -> PyResult<(Vec<String>, Bound<'py, PyArray1<i64>>)> {
    let (schema, limits) = (schema_of(&columns.unwrap_or_default())?, limits_of(limits)?);
    let inputs = ids(&schema, inputs)?;
    let stock = dsl::vary::Stock { schema: &schema, limits: &limits, inputs: &inputs };
    let children = py.detach(|| dsl::vary::breed(seed, &parents, count, &stock, threads));
    let places = children.iter().map(|child| child.parent.map_or(-1, i64::from)).collect();
    let sources = children.into_iter().map(|child| child.source).collect();
    Ok((sources, PyArray1::from_vec(py, places)))
}

/// A program with its statistics over samples replaced by names, and the statistics as (name, expression).
#[pyfunction]
#[pyo3(signature = (source, columns = None, limits = None))]
pub fn lift(
    py: Python<'_>,
    source: &str,
    columns: Option<Vec<(String, Vec<String>)>>,
    limits: Option<&Bound<'_, PyDict>>,
) -> PyResult<(String, Vec<(String, String)>)> {
    let (schema, limits) = (schema_of(&columns.unwrap_or_default())?, limits_of(limits)?);
    let (program, statistics) =
        dsl::lift::lift(source, &schema, &limits).map_err(|error| raised(py, &error, source.as_bytes()))?;
    Ok((program, statistics.into_iter().map(|one| (one.name, one.source)).collect()))
}

fn ids(schema: &Schema, names: Option<Vec<String>>) -> PyResult<Vec<u16>> {
    let Some(names) = names else { return Ok(dsl::vary::all_inputs(schema)) };
    let id =
        |name: &String| schema.id(name).ok_or_else(|| PyValueError::new_err(format!("'{name}' is no input")));
    names.iter().map(id).collect()
}

/// The grammar for constrained generation: "gbnf", "lark" or "json-schema".
#[pyfunction]
pub fn grammar(format: &str) -> PyResult<String> {
    let known = dsl::grammar::FORMATS.join(", ");
    dsl::grammar::grammar(format)
        .ok_or_else(|| PyValueError::new_err(format!("'{format}' is not one of {known}")))
}

/// The grammar (GBNF) of programs that all compile: one expression over some inputs, at most `depth` deep.
#[pyfunction]
#[pyo3(signature = (inputs, depth, columns = None))]
pub fn typed_grammar(
    inputs: Vec<String>,
    depth: usize,
    columns: Option<Vec<(String, Vec<String>)>>,
) -> PyResult<String> {
    let schema = schema_of(&columns.unwrap_or_default())?;
    let found: Vec<(&str, Axes)> =
        ids(&schema, Some(inputs))?.into_iter().map(|id| (schema.name(id), schema.axes(id))).collect();
    let deepest = dsl::typed::DEEPEST;
    dsl::typed::typed(&found, depth).ok_or_else(|| {
        PyValueError::new_err(format!(
            "no score of these inputs is {depth} operators deep (at most {deepest})"
        ))
    })
}
