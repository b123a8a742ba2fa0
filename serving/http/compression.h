#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace levin {

/// Unpacks a body that has the Content-Encoding `encoding`: gzip, x-gzip, deflate or identity, in
/// any letters. Throws a Refusal of status 415 for another one, of 400 if the data are damaged or
/// incomplete, and of 413 as soon as more than `max_size` bytes would come out.
std::string decompress_body(std::string_view encoding, std::string body, int64_t max_size);

/// Whether the header Accept-Encoding takes gzip.
bool accepts_gzip(std::string_view accept_encoding);

/// Packs a body with gzip, quickly rather than well.
std::string gzip_body(std::string_view body);

}  // namespace levin
