//! The one table of inputs: what a program may read, with axes and meaning.

use crate::dsl::axes::Axes;

/// One input of the layer table.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// As programs write it.
    pub name: &'static str,
    /// Axes within a unit.
    pub axes: Axes,
    /// One line of documentation.
    pub doc: &'static str,
}

macro_rules! inputs {
    ($($axes:expr => { $($name:literal $doc:literal)* })*) => {
        /// All inputs; the place in the table is the input's id.
        pub static TABLE: &[Input] = &[$($(Input { name: $name, axes: $axes, doc: $doc }),*),*];
    };
}

const UNIT: Axes = Axes::NONE;
const FORMAT: Axes = Axes::FORMAT;
const WEIGHT: Axes = Axes::WEIGHT;
const ERROR: Axes = Axes::ALL;

inputs! {
    UNIT => {
        "numel" "elements of the weight"
        "macs" "multiply-accumulates of one sample"
        "depth" "index / (n_layers - 1); 0 for a single unit"
        "index" "place among the units, from 0"
        "n_layers" "number of units"
        "out_channels" "output channels"
        "in_channels" "input channels of one group"
        "kernel" "kernel side"
        "stride" "stride"
        "groups" "groups of a convolution"
        "is_conv" "1 for a convolution"
        "is_linear" "1 for a linear layer"
        "is_depthwise" "1 when every output channel reads one input channel"
        "is_first" "1 for the first unit"
        "is_last" "1 for the last unit"
        "trace" "trace of the Hessian of the weight (Hutchinson estimate)"
        "lambda_max" "largest eigenvalue of the Hessian of the weight"
        "cka_sum" "sum over the other units of the linear CKA of the outputs (OMPQ)"
        "plain" "sum of g * w over the whole weight"
        "w_norm2" "Euclidean norm of the whole weight"
        "act_mean" "mean of the layer's input"
        "act_absmax" "largest magnitude of the layer's input"
        "z_std" "standard deviation of the layer's output, all channels together"
    }
    FORMAT => {
        "bits" "nominal bits of a weight"
        "bytes" "stored bytes of the unit, scales included"
        "act_bits" "bits of an activation; 16 when activations are not quantized"
        "dw2" "sum of dw squared over the whole weight"
        "dw_max" "largest mean squared error of an output channel"
        "fisher_dw2" "sum of E[g^2] * dw^2 over the whole weight"
        "gdw" "sum of g * dw over the whole weight, g the mean gradient"
        "gdw_abs" "sum of |g * dw| over the whole weight"
        "gdw2" "mean over samples of (sum of g_n * dw)^2"
        "logit_dw2" "mean over samples of ((sum of dw * dy/dw) / y)^2, y the logit of the label (MPQCO)"
        "out_noise" "mean over samples of the squared output error, weights alone quantized"
        "gz_noise" "mean over samples of sum gz^2 * (output error)^2, inputs rounded too (ModelOpt)"
        "comp_gz_noise" "gz_noise of weights rounded with error compensation, inputs rounded too"
        "comp_logit_gz" "the same with gradients of the logits in random proportions, not of the loss"
        "comp_logit_dw2" "mean squared change of the logits to first order, weights rounded with error compensation"
        "act_noise" "mean over samples of the squared error of the activation quantizer; 0 when act_bits is 16"
        "gx_noise" "mean over samples of sum |gx * (input error)|; 0 when act_bits is 16"
    }
    WEIGHT => {
        "w" "weight"
        "g" "mean gradient of the loss"
        "g2" "mean over samples of the squared gradient (Fisher diagonal)"
        "h" "estimate of the Hessian's diagonal"
        "hg" "Hessian times gradient (GraSP)"
        "synflow" "gradient of the summed outputs on absolute weights and an input of ones (SynFlow)"
        "vgrad" "gradient of the summed logits on an input of ones (EMQ)"
    }
    ERROR => {
        "dw" "quantization error of the weight: quantized minus original"
    }
    Axes::IN => {
        "x_mean" "mean of the layer's input, per input channel"
        "x_var" "variance of the layer's input, per input channel"
        "x_absmax" "largest magnitude of the layer's input, per input channel"
        "x_sq" "mean square of the layer's input, per input channel"
    }
    Axes::OUT => {
        "z_mean" "mean of the layer's output, per output channel"
        "z_var" "variance of the layer's output, per output channel"
        "gz2" "mean over samples of the squared output gradient, summed over positions, per output channel"
        "fisher_z" "half the mean over samples of (sum over positions of z * gz)^2, per output channel"
    }
}
