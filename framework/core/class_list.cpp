#include <levin/framework/core/class_list.h>

namespace levin {

std::string_view short_class_name(std::string_view class_path) {
  const size_t end = class_path.find_last_of(".:");
  return end == std::string_view::npos ? class_path : class_path.substr(end + 1);
}

}  // namespace levin
