#pragma once

#include <string_view>

/// What the readers of text share.
namespace levin::readers {

/// What some programs start a file of UTF-8 with.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Without the blanks and tabs around it.
std::string_view trimmed(std::string_view text);

/// What is between the cells of a CSV file: a tab where the first line has one outside quotes, else
/// a semicolon, else a comma.
char detect_delimiter(std::string_view text);

/// The number a text holds, all of it, blanks around it aside; false for anything else and for one
/// too large for a double (one too small is 0). "nan" and "inf" are numbers.
bool parse_number(std::string_view text, double& value);

}  // namespace levin::readers
