#pragma once

#include <string>

#include <levin/framework/core/value.h>

/// The parts of a report that show a fit's record, as HTML. Each is empty if the record has nothing
/// for it.
namespace levin::report_parts {

/// The settings that differ from their defaults, if these are known, and all of them, folded.
std::string settings_part(const Value& fit);
/// Machine, builds, commits, command line.
std::string environment_part(const Value& fit);
/// Sets and sources of data with their checksums.
std::string data_part(const Value& fit);
/// The number of parameters and the layers.
std::string model_part(const Value& fit);
/// Where the time went, if a profiler was on.
std::string time_part(const Value& fit);

}  // namespace levin::report_parts
