#pragma once

#include <string>
#include <string_view>
#include <typeinfo>

namespace levin {

/// Returns a type's name without its namespaces: "Net" for "mine::(anonymous namespace)::Net", and
/// "Net<a::B>" for "mine::Net<a::B>".
std::string without_namespaces(std::string_view name);

/// Returns the name of a C++ type as it is written in a program, without its namespaces. For a
/// polymorphic object, this is the class that it was made as:
///
///     class Printer : public levin::Callback {};
///     const levin::Callback& callback = printer;
///     unqualified_name(typeid(callback));  // "Printer"
std::string unqualified_name(const std::type_info& type);

}  // namespace levin
