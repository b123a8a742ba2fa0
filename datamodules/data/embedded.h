#pragma once

#include <string_view>

/// The small data sets that are part of the library, so that a binary needs no files beside it.
/// Where they come from and their licences: datamodules/data/README.md.
namespace levin::data {

/// 150 rows after a header line: four lengths in cm, then the class 0, 1 or 2.
std::string_view iris_csv();
/// 1,797 rows after a header line: 64 pixels of 0 to 16, row by row, then the digit 0 to 9.
std::string_view digits_csv();

}  // namespace levin::data
