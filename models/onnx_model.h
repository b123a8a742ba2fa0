#pragma once

#include <string>
#include <vector>

#include <levin/framework/run/module.h>

namespace levin {

/// What an ONNX file says beside the model.
struct OnnxOptions {
  /// The sizes of a row of the input, such as [1, 28, 28]; empty: [in_features].
  std::vector<int64_t> row_shape{};
  /// The mean and the deviation by which the graph standardises its input first, (x - mean) /
  /// deviation in float64, of as many numbers as a row has. Undefined: that is left out.
  torch::Tensor mean{};
  torch::Tensor deviation{};
  /// What class 0, 1 ... are called: the text "class_names" of the file, a JSON list.
  std::vector<std::string> class_names{};
};

/// Returns an ONNX file that computes what `Module::predict` returns for a LogisticRegression (with
/// a path or cross-validation, too), a LinearRegression or an MLP: for "input" [batch, ...] of any
/// number of rows, "class" [batch] int64 and "probability" [batch, classes], or "value" [batch] or
/// [batch, outputs]. The numbers are float64 if the weights are, and else float32. In float64,
/// gelu, elu and the probabilities of multi_class = ovr have the digits of float32, because
/// onnxruntime has no other operators for them.
///
///     files::write_atomically("model.onnx", onnx_model(model));
///
/// Python: `onnxruntime.InferenceSession("model.onnx").run(None, {"input": x})`.
///
/// Throws ModuleError for other classes, subclasses included, because they may compute something
/// else, and for a module whose layers aren't made yet; ConfigError if the options don't fit.
std::string onnx_model(const Module& module, const OnnxOptions& options = {});

}  // namespace levin
