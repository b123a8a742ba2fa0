#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// What `levin new` can write: "project", "model", "datamodule", "callback".
const std::vector<std::string>& kinds_of_new_files();

/// Writes the files of a class, or of a project with one class of each kind, and returns what to do
/// next, as text for the user. A project goes into `folder`, by default one of its name. A class
/// goes into src/ and tests/ below `folder`, by default the current one, and into src/classes.cpp
/// if that has the lines that `levin new project` writes for it.
///
/// Throws ConfigError for an unknown kind and for a name that C++ doesn't allow, proposing the
/// nearest, and if a file exists already, before anything is written.
std::string write_new_files(std::string_view kind, std::string_view name,
                            const std::filesystem::path& folder);

/// What `levin new --help` says below the usage.
std::string new_files_help();

}  // namespace levin
