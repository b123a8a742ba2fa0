#pragma once

#include <optional>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/tensor/tensor.h>

namespace torch::nn {
class Module;
}

namespace levin {

/// Makes LibTorch compute in `type`, float16 or bfloat16, what loses little by it (products of
/// matrices, convolutions) and in float32 what would (losses, norms), on one kind of device and on
/// this thread, until the object is destroyed. The weights stay as they are: their copies of the
/// other type are made once in this scope and forgotten at its end, so that a scope may be a part
/// of a captured step. PyTorch: torch.autocast.
///
///     {
///       const AutocastScope scope(at::kBFloat16, at::kCPU);
///       loss = module.training_step(batch, step);
///     }
class AutocastScope {
 public:
  /// Changes nothing.
  AutocastScope() = default;
  AutocastScope(at::ScalarType type, at::DeviceType device);
  ~AutocastScope() {
    if (is_active_) end();
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  void end() noexcept;

  bool is_active_ = false;
  at::DeviceType device_ = at::kCPU;
  bool was_enabled_ = false;
  at::ScalarType type_before_ = at::kFloat;
};

/// Ends the autocast of this thread, if there is one, for as long as it exists: for what isn't part
/// of a forward pass, but happens within its scope. Weights may change in it.
class AutocastPause {
 public:
  explicit AutocastPause(at::DeviceType device);
  ~AutocastPause();
  AutocastPause(const AutocastPause&) = delete;
  AutocastPause& operator=(const AutocastPause&) = delete;

 private:
  at::DeviceType device_;
  bool was_enabled_;
};

/// Whether an AutocastScope, or one of LibTorch's, is in effect for that device on this thread.
bool is_autocast(const at::Device& device);

/// The formats of the numbers of a run, as the Trainer's option `precision` names them. Lightning:
/// Precision.
///
///     name         parameters   batches      computed in
///     32-true      as they are  as they are  the same
///     64-true      float64      float64      float64
///     bf16-true    bfloat16     bfloat16     bfloat16
///     16-true      float16      float16      float16
///     bf16-mixed   as they are  float32      bfloat16 or float32, by an AutocastScope
///     16-mixed     as they are  float32      float16 or float32; gradients are scaled
///
/// "as they are" is float32 unless the module or the data are made otherwise. Only tensors of
/// floating-point numbers are converted. With 16-true, the squares of small gradients, which Adam
/// keeps, become 0, and its steps too large; bf16-true has the range of float32.
class Precision {
 public:
  /// That of "32-true".
  Precision() = default;
  /// `name` is one of the names above, or one of Lightning's short ones, of which the numbers may
  /// be counts: 64 is 64-true, 32 is 32-true, 16 is 16-mixed and "bf16" is bf16-mixed. Throws
  /// ConfigError for another one.
  explicit Precision(const CountOrName& name);

  /// The name as in the table above.
  const std::string& name() const { return name_; }
  /// Whether steps are computed in an AutocastScope.
  bool is_mixed() const { return is_mixed_; }
  /// Whether numbers of two bytes take part: solvers and online learners refuse them.
  bool has_halves() const { return compute_type_ == at::kHalf || compute_type_ == at::kBFloat16; }
  /// Whether losses are multiplied by a scale (GradientScaler): with 16-mixed.
  bool scales_gradients() const { return is_mixed_ && compute_type_ == at::kHalf; }
  /// The type that products of matrices are computed in.
  at::ScalarType compute_type() const { return compute_type_; }
  /// The type that data modules should read numbers in, so that no digits are lost: float64 with
  /// 64-true, else float32.
  at::ScalarType data_type() const {
    return compute_type_ == at::kDouble ? at::kDouble : at::kFloat;
  }

  /// The type that parameters and buffers of floating-point numbers have; nothing if they stay as
  /// they are.
  std::optional<at::ScalarType> module_type() const {
    if (is_mixed_ || compute_type_ == at::kFloat) return {};
    return compute_type_;
  }

  /// Converts the parameters and buffers of `module` in place, if its type isn't to stay as it is.
  /// A parameter that changes loses its gradient. To be called before the optimizers are made.
  void convert(torch::nn::Module& module) const;
  /// Converts the tensors of `batch`, and returns whether one was converted. Sparse rows hold
  /// float32 numbers and stay as they are; bytes that stand for numbers become float32 before
  /// anything else. Throws ConfigError for sparse rows with 16-true or bf16-true, which have no
  /// operations for them.
  bool convert(Batch& batch) const { return converts_batches_ && convert_entries(batch); }

 private:
  bool convert_entries(Batch& batch) const;

  std::string name_ = "32-true";
  at::ScalarType compute_type_ = at::kFloat;
  bool is_mixed_ = false;
  bool converts_batches_ = false;
};

}  // namespace levin
