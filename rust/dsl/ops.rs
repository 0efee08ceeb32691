//! The one table of operators; parser, checker, interpreter, docs, prompts, grammars and generators read it.

use crate::dsl::hash::{self, Hash};

/// How an operator treats axes and units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A number or an input.
    Leaf,
    /// Element by element; operands broadcast, the result has the axes of all.
    Elementwise,
    /// Removes axes within each unit.
    Reduction,
    /// Works across the units of a column, for each format separately.
    Network,
}

/// How an operator is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Not written as an operator.
    None,
    /// Before its operand, as `-v`.
    Prefix,
    /// Between its operands, as `a + b`.
    Infix,
    /// As `name(v)`, with the smallest and largest number of values.
    Call(u8, u8),
}

/// Everything the project knows about one operator.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which one; also the kernel's identity.
    pub op: Op,
    /// How it is written: a symbol or the name of a call.
    pub name: &'static str,
    /// How it treats axes and units.
    pub class: Class,
    /// How it is written.
    pub form: Form,
    /// Work of one element, an addition being 1.
    pub cost: u8,
    /// Arguments as the docs show them.
    pub arguments: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
}

macro_rules! operators {
    ($($op:ident $name:literal $class:ident ($form:expr) $cost:literal $arguments:literal $doc:literal)*) => {
        /// An operator; `spec` says the rest.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Op { $(#[doc = $doc] $op),* }

        /// All operators in the order of `Op`.
        pub static TABLE: [Spec; [$(Op::$op),*].len()] = [$(Spec {
            op: Op::$op, name: $name, class: Class::$class, form: $form, cost: $cost, arguments: $arguments, doc: $doc,
        }),*];

        /// What each operator adds to a structural hash; from its class and name, so the table may grow.
        pub(super) static SALTS: [Hash; [$(Op::$op),*].len()] =
            [$(hash::salt(concat!(stringify!($class), ".", $name).as_bytes())),*];
    };
}

use Form::{Call, Infix, Prefix};

operators! {
    Const     "number"      Leaf        (Form::None) 0  ""           "a number, or one of the constants pi, e and eps = 1e-12"
    Input     "input"       Leaf        (Form::None) 0  ""           "an input of the layer table"
    Neg       "-"           Elementwise (Prefix)     1  "v"          "minus v"
    Add       "+"           Elementwise (Infix)      1  "a, b"       "sum of two values"
    Sub       "-"           Elementwise (Infix)      1  "a, b"       "difference"
    Mul       "*"           Elementwise (Infix)      1  "a, b"       "product"
    Div       "/"           Elementwise (Infix)      4  "a, b"       "quotient; x/0 is inf or nan, as IEEE says"
    Pow       "**"          Elementwise (Infix)      24 "a, b"       "power; also pow(a, b)"
    Lt        "<"           Elementwise (Infix)      1  "a, b"       "1 where a < b, else 0"
    Le        "<="          Elementwise (Infix)      1  "a, b"       "1 where a <= b, else 0"
    Gt        ">"           Elementwise (Infix)      1  "a, b"       "1 where a > b, else 0"
    Ge        ">="          Elementwise (Infix)      1  "a, b"       "1 where a >= b, else 0"
    Eq        "=="          Elementwise (Infix)      1  "a, b"       "1 where a equals b, else 0"
    Ne        "!="          Elementwise (Infix)      1  "a, b"       "1 where a differs from b, else 0"
    Where     "where"       Elementwise (Call(3, 3)) 1  "c, a, b"    "a where c is not 0, else b"
    Clip      "clip"        Elementwise (Call(3, 3)) 2  "v, lo, hi"  "v kept between lo and hi: min(max(v, lo), hi)"
    Min       "min"         Elementwise (Call(2, 16)) 1 "a, b, ..."  "the smaller, element by element; nan stays nan"
    Max       "max"         Elementwise (Call(2, 16)) 1 "a, b, ..."  "the larger, element by element; nan stays nan"
    Abs       "abs"         Elementwise (Call(1, 1)) 1  "v"          "absolute value"
    Sign      "sign"        Elementwise (Call(1, 1)) 1  "v"          "-1, 0 or 1"
    Sqrt      "sqrt"        Elementwise (Call(1, 1)) 4  "v"          "square root; nan below 0"
    Square    "square"      Elementwise (Call(1, 1)) 1  "v"          "v * v"
    Exp       "exp"         Elementwise (Call(1, 1)) 8  "v"          "e to the power v"
    Expm1     "expm1"       Elementwise (Call(1, 1)) 12 "v"          "exp(v) - 1, exact for small v"
    Log       "log"         Elementwise (Call(1, 1)) 8  "v"          "natural logarithm; -inf at 0, nan below"
    Log1p     "log1p"       Elementwise (Call(1, 1)) 12 "v"          "log(1 + v), exact for small v"
    Log2      "log2"        Elementwise (Call(1, 1)) 8  "v"          "logarithm to base 2"
    Log10     "log10"       Elementwise (Call(1, 1)) 8  "v"          "logarithm to base 10"
    Tanh      "tanh"        Elementwise (Call(1, 1)) 16 "v"          "hyperbolic tangent"
    Sigmoid   "sigmoid"     Elementwise (Call(1, 1)) 12 "v"          "1 / (1 + exp(-v))"
    Relu      "relu"        Elementwise (Call(1, 1)) 1  "v"          "max(v, 0)"
    Recip     "reciprocal"  Elementwise (Call(1, 1)) 4  "v"          "1 / v"
    Sum       "sum"         Reduction   (Call(1, 1)) 1  "v, axes"    "sum, scaled from the sample to the whole tensor"
    Mean      "mean"        Reduction   (Call(1, 1)) 1  "v, axes"    "arithmetic mean"
    Var       "var"         Reduction   (Call(1, 1)) 3  "v, axes"    "population variance"
    Std       "std"         Reduction   (Call(1, 1)) 3  "v, axes"    "population standard deviation"
    MinOf     "min"         Reduction   (Call(1, 1)) 1  "v, axes"    "smallest element (of the sample)"
    MaxOf     "max"         Reduction   (Call(1, 1)) 1  "v, axes"    "largest element (of the sample)"
    Norm1     "norm1"       Reduction   (Call(1, 1)) 1  "v, axes"    "sum of absolute values, scaled to the whole tensor"
    Norm2     "norm2"       Reduction   (Call(1, 1)) 1  "v, axes"    "square root of the sum of squares, scaled to the whole tensor"
    Count     "count"       Reduction   (Call(1, 1)) 1  "v, axes"    "number of elements of the whole tensor"
    Median    "median"      Reduction   (Call(1, 1)) 16 "v, axes"    "median; the mean of the middle two when even"
    Quantile  "quantile"    Reduction   (Call(2, 2)) 16 "v, q, axes" "q-quantile, linear between elements; q a number in [0, 1]"
    Entropy   "entropy"     Reduction   (Call(1, 1)) 12 "v, axes"    "entropy in nats of the shares |v| / sum |v|"
    Kurtosis  "kurtosis"    Reduction   (Call(1, 1)) 5  "v, axes"    "excess kurtosis: fourth central moment over squared variance, minus 3"
    Rank      "rank"        Network     (Call(1, 1)) 32 "v"          "rank among the units, 1 the smallest, ties averaged"
    Zscore    "zscore"      Network     (Call(1, 1)) 6  "v"          "(v - mean) / std over the units"
    Minmax    "minmax"      Network     (Call(1, 1)) 6  "v"          "(v - min) / (max - min) over the units"
    Softmax   "softmax"     Network     (Call(1, 1)) 12 "v"          "exp(v) / sum exp(v) over the units"
    NetSum    "net_sum"     Network     (Call(1, 1)) 1  "v"          "sum over the units"
    NetMean   "net_mean"    Network     (Call(1, 1)) 1  "v"          "mean over the units"
    NetMax    "net_max"     Network     (Call(1, 1)) 1  "v"          "largest over the units"
    NetMin    "net_min"     Network     (Call(1, 1)) 1  "v"          "smallest over the units"
    NetStd    "net_std"     Network     (Call(1, 1)) 3  "v"          "population standard deviation over the units"
    Cumsum    "cumsum"      Network     (Call(1, 1)) 1  "v"          "sum over this unit and those before it"
    SuffixMean "suffix_mean" Network    (Call(1, 1)) 2  "v"          "mean over this unit and those after it"
    Prev      "prev"        Network     (Call(1, 1)) 1  "v"          "value of the unit before; the first keeps its own"
    Next      "next"        Network     (Call(1, 1)) 1  "v"          "value of the unit after; the last keeps its own"
}

impl Op {
    /// The row of the table.
    pub fn spec(self) -> &'static Spec {
        // The table has a row for each operator, in order: the first is never taken instead.
        TABLE.get(self as usize).unwrap_or(&TABLE[0])
    }

    /// How it is written.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// How it treats axes and units.
    pub fn class(self) -> Class {
        self.spec().class
    }

    /// Whether swapping the two operands changes nothing.
    pub const fn commutes(self) -> bool {
        matches!(self, Op::Add | Op::Mul | Op::Eq | Op::Ne | Op::Min | Op::Max)
    }

    /// How many operands an instruction with it reads.
    pub const fn operands(self) -> usize {
        match self {
            Op::Const | Op::Input => 0,
            Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Pow | Op::Min | Op::Max => 2,
            Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::Eq | Op::Ne => 2,
            Op::Where | Op::Clip => 3,
            _ => 1,
        }
    }
}

/// Other names that language models write for an operator; each is accepted with a note.
pub static ALIASES: &[(&str, Op)] = &[
    ("maximum", Op::Max),
    ("minimum", Op::Min),
    ("fmax", Op::Max),
    ("fmin", Op::Min),
    ("amax", Op::MaxOf),
    ("amin", Op::MinOf),
    ("clamp", Op::Clip),
    ("fabs", Op::Abs),
    ("absolute", Op::Abs),
    ("ln", Op::Log),
    ("average", Op::Mean),
    ("l1_norm", Op::Norm1),
    ("l2_norm", Op::Norm2),
    ("norm", Op::Norm2),
];

/// Named constants.
pub static CONSTANTS: &[(&str, f64, &str)] = &[
    ("pi", std::f64::consts::PI, "3.14159..."),
    ("e", std::f64::consts::E, "2.71828..."),
    ("eps", 1e-12, "1e-12, against division by zero"),
];

/// The largest magnitude of an integer exponent that becomes multiplications.
pub const LARGEST_UNROLLED_POWER: i32 = 8;
