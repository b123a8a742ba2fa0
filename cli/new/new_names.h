#pragma once

#include <string>
#include <string_view>

namespace levin {

/// Throws ConfigError unless `name` can name a class in C++: letters, digits and underscores, no
/// digit first, no word of the language. The message proposes the nearest name that can.
void require_class_name(std::string_view name);

/// Returns "my_net" for "MyNet", "my_net" and "myNet", and "http_model2" for "HTTPModel2".
std::string snake_case(std::string_view name);

/// Returns "MyNet" for "my_net", "my-net" and "myNet".
std::string pascal_case(std::string_view name);

}  // namespace levin
