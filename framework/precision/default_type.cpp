#include <levin/framework/precision/default_type.h>

#include <c10/core/DefaultDtype.h>

namespace levin {

DefaultTypeScope::DefaultTypeScope(std::optional<at::ScalarType> type)
    : before_(c10::get_default_dtype_as_scalartype()) {
  if (type) c10::set_default_dtype(c10::scalarTypeToTypeMeta(*type));
}

DefaultTypeScope::~DefaultTypeScope() {
  c10::set_default_dtype(c10::scalarTypeToTypeMeta(before_));
}

}  // namespace levin
