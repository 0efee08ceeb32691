//! The layer table as the engine reads it: columns exact, samples ragged over units.

use crate::dsl::axes::Axes;

/// Formats that a table may have.
const MOST_FORMATS: usize = 1 << 16;

/// Statistics of L units in F formats. Input ids are those of the schema the table was filled for.
#[derive(Clone, Debug, Default)]
pub struct Table {
    units: usize,
    formats: usize,
    /// Sampled sizes of (out, in, pos), for each unit.
    sampled: Vec<[usize; 3]>,
    /// Whole sizes for each sampled one, along each axis.
    scales: Vec<[f64; 3]>,
    /// By input id.
    data: Vec<Option<Data>>,
    /// Elements of a value with these axes, all units together.
    elements: [u64; Axes::COUNT],
    /// The same for the unit that has most.
    largest: [u64; Axes::COUNT],
}

/// Values of one input.
#[derive(Clone, Debug)]
pub enum Data {
    /// One number a unit: [L], or format-major [F][L].
    Column(Vec<f64>),
    /// Numbers along axes of the weight, unit after unit; `starts[l]` is where unit l begins, L + 1 of them.
    Sample {
        /// All units, each in the order format, out, in, pos.
        values: Vec<f32>,
        /// Where each unit begins.
        starts: Vec<usize>,
    },
}

/// A table that cannot be: what does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit(pub String);

impl Table {
    /// A table without inputs; `whole` and `sampled` are sizes of (out, in, pos) for each unit.
    pub fn new(formats: usize, whole: &[[u64; 3]], sampled: &[[u64; 3]]) -> Result<Table, Misfit> {
        let units = whole.len();
        if units == 0 || formats == 0 || formats > MOST_FORMATS || sampled.len() != units {
            return Err(Misfit("a table needs units, formats, and sampled sizes for each unit".into()));
        }
        let mut table = Table { units, formats, ..Table::default() };
        for (whole, sampled) in whole.iter().zip(sampled) {
            let mut sizes = [0; 3];
            let mut scales = [0.0; 3];
            for axis in 0..3 {
                if sampled[axis] == 0 || sampled[axis] > whole[axis] || sampled[axis] > 1 << 40 {
                    return Err(Misfit("sampled sizes go from 1 to the whole size".into()));
                }
                sizes[axis] = sampled[axis] as usize;
                scales[axis] = whole[axis] as f64 / sampled[axis] as f64;
            }
            table.sampled.push(sizes);
            table.scales.push(scales);
        }
        for bits in 0..Axes::COUNT {
            let axes = Axes::from_bits(bits as u8);
            for unit in 0..units {
                let elements = table.unit_elements(axes, unit);
                table.elements[bits] = table.elements[bits].saturating_add(elements);
                table.largest[bits] = table.largest[bits].max(elements);
            }
        }
        Ok(table)
    }

    /// Give the input `id` its values; their number must be what `axes` asks for.
    pub fn set_column(&mut self, id: u16, axes: Axes, values: Vec<f64>) -> Result<(), Misfit> {
        if !axes.is_column() || values.len() as u64 != self.elements[axes.index()] {
            return Err(Misfit(format!("a column with axes {axes} has {} values here", values.len())));
        }
        self.place(id, Data::Column(values));
        Ok(())
    }

    /// Give the input `id` its sampled values, unit after unit.
    pub fn set_sample(&mut self, id: u16, axes: Axes, values: Vec<f32>) -> Result<(), Misfit> {
        if values.len() as u64 != self.elements[axes.index()] {
            return Err(Misfit(format!("a sample with axes {axes} has {} values here", values.len())));
        }
        let mut starts = vec![0];
        let mut start = 0;
        for unit in 0..self.units {
            start += self.unit_elements(axes, unit) as usize;
            starts.push(start);
        }
        self.place(id, Data::Sample { values, starts });
        Ok(())
    }

    fn place(&mut self, id: u16, data: Data) {
        let id = id as usize;
        if self.data.len() <= id {
            self.data.resize(id + 1, None);
        }
        if let Some(place) = self.data.get_mut(id) {
            *place = Some(data);
        }
    }

    /// L.
    pub fn units(&self) -> usize {
        self.units
    }

    /// F.
    pub fn formats(&self) -> usize {
        self.formats
    }

    /// Ids of inputs that the table holds are below it.
    pub fn inputs(&self) -> usize {
        self.data.len()
    }

    /// The values of an input, if the table holds it.
    #[inline]
    pub fn data(&self, id: u16) -> Option<&Data> {
        self.data.get(id as usize)?.as_ref()
    }

    /// The values of an input that is a column.
    #[inline]
    pub fn column(&self, id: u16) -> Option<&[f64]> {
        match self.data(id)? {
            Data::Column(values) => Some(values),
            Data::Sample { .. } => None,
        }
    }

    /// The values of an input that is a sample, of one unit.
    #[inline]
    pub fn sample(&self, id: u16, unit: usize) -> Option<&[f32]> {
        match self.data(id)? {
            Data::Sample { values, starts } => values.get(*starts.get(unit)?..*starts.get(unit + 1)?),
            Data::Column(_) => None,
        }
    }

    /// Whether all values of an input are finite in a unit; not where the table lacks it.
    pub fn is_finite(&self, id: u16, unit: usize) -> bool {
        match self.data(id) {
            Some(Data::Column(values)) => values.iter().skip(unit).step_by(self.units).all(|v| v.is_finite()),
            Some(Data::Sample { .. }) => {
                self.sample(id, unit).is_some_and(|values| values.iter().all(|v| v.is_finite()))
            }
            None => false,
        }
    }

    /// Sizes along (format, out, in, pos) of a value with these axes in one unit; 1 where it lacks the axis.
    pub fn shape(&self, axes: Axes, unit: usize) -> [usize; 4] {
        let [out, inp, pos] = self.sampled.get(unit).copied().unwrap_or([1; 3]);
        let size = |axis: Axes, size: usize| if axes.contains(axis) { size } else { 1 };
        [size(Axes::FORMAT, self.formats), size(Axes::OUT, out), size(Axes::IN, inp), size(Axes::POS, pos)]
    }

    /// Whole elements for each sampled one, over these axes of one unit.
    pub fn scale(&self, axes: Axes, unit: usize) -> f64 {
        let [out, inp, pos] = self.scales.get(unit).copied().unwrap_or([1.0; 3]);
        let along = |axis: Axes, scale: f64| if axes.contains(axis) { scale } else { 1.0 };
        along(Axes::OUT, out) * along(Axes::IN, inp) * along(Axes::POS, pos)
    }

    /// Elements of a value with these axes, all units together.
    #[inline]
    pub fn elements(&self, axes: Axes) -> u64 {
        self.elements.get(axes.index()).copied().unwrap_or(0)
    }

    /// Elements of a value with these axes in the unit that has most.
    pub fn largest(&self, axes: Axes) -> u64 {
        self.largest.get(axes.index()).copied().unwrap_or(0)
    }

    fn unit_elements(&self, axes: Axes, unit: usize) -> u64 {
        self.shape(axes, unit).iter().fold(1u64, |product, size| product.saturating_mul(*size as u64))
    }
}
