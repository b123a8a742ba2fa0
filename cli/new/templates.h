#pragma once

#include <string_view>

/// The files of cli/new/templates, which are part of the library. `@Class@` and `@file@` in them
/// stand for the name of a class and of its files, `@Project@` and `@project@` for a project's.
namespace levin::data {

std::string_view new_cmake_lists();
std::string_view new_readme();
std::string_view new_gitignore();
std::string_view new_config();
std::string_view new_main();
std::string_view new_classes();
std::string_view new_model_header();
std::string_view new_model_source();
std::string_view new_model_test();
std::string_view new_datamodule_header();
std::string_view new_datamodule_source();
std::string_view new_datamodule_test();
std::string_view new_callback_header();
std::string_view new_callback_source();
std::string_view new_callback_test();

}  // namespace levin::data
