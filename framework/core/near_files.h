#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// Returns what a message adds if there is no file or folder `path`: "; did you mean
/// 'runs/digits.yaml'?" for the nearest name in its folder (nearest_name), or "; there is no folder
/// 'runs' either". Empty if no name is near.
std::string missing_file_hint(std::string_view path);

/// Returns the one of `endings`, such as ".csv", that was probably meant by the ending of the name
/// `path`: one letter is wrong, missing or too many, or letters have changed places, as in
/// "rows.cvs". Empty if there is none.
std::string nearest_ending(std::string_view path, const std::vector<std::string>& endings);

/// Returns what a message adds if it refuses the ending of the name `path`, which isn't one of
/// `endings`, and there is no such file either: ", and there is no such file; did you mean
/// 'rows.npy'?". It proposes the nearest file, or else the nearest ending. Empty if the file is
/// there.
std::string missing_file_of_other_ending(std::string_view path,
                                         const std::vector<std::string>& endings);

}  // namespace levin
