#pragma once

#include <optional>

#include <c10/core/ScalarType.h>

namespace levin {

/// Makes `type` the default of new floating-point tensors, in the whole process, until the object
/// is destroyed. PyTorch: torch.set_default_dtype.
///
///     {
///       const DefaultTypeScope scope(at::kDouble);
///       net = std::make_shared<Net>();  // draws its parameters as float64
///     }
class DefaultTypeScope {
 public:
  /// Without a type, it changes nothing.
  explicit DefaultTypeScope(std::optional<at::ScalarType> type);
  ~DefaultTypeScope();
  DefaultTypeScope(const DefaultTypeScope&) = delete;
  DefaultTypeScope& operator=(const DefaultTypeScope&) = delete;

 private:
  at::ScalarType before_;
};

}  // namespace levin
