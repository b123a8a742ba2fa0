#pragma once

#include <cstdint>
#include <string_view>

namespace levin {

/// Returns how many bytes the reading of a JSON or CSV text takes at most besides the text itself:
/// the parsed document and the tensors. It is about 7 for each byte if numbers have many digits,
/// and 25 for "[0,0,0 ...]". Texts of at most 1 MiB aren't looked at, and count 45 for each byte.
int64_t reading_memory(std::string_view text);

}  // namespace levin
