#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// What a worker asks a parameter server. In memory and on the wire, a request is this head, in the
/// byte order of the machine (all ranks of a run have the same), and then what `kind` says:
///
/// | kind  | count            | behind the head             | the answer           |
/// |-------|------------------|-----------------------------|----------------------|
/// | hello | bytes            | the token                   | a status             |
/// | push  | rows or kAllRows | numbers of the rows; values | a status             |
/// | pull  | rows or kAllRows | numbers of the rows         | a status; the values |
/// | leave | 0                |                             |                      |
///
/// Numbers of rows are int64, values float64. With kAllRows there are no numbers of rows.
struct ServerRequest {
  static constexpr uint32_t kMagic = 0x5056454c;  // "LEVP"
  static constexpr int64_t kAllRows = -1;
  enum class Kind : uint32_t { hello = 1, push = 2, pull = 3, leave = 4 };

  uint32_t magic = kMagic;
  Kind kind = Kind::hello;
  int64_t worker = 0;
  int64_t count = 0;
};
static_assert(sizeof(ServerRequest) == 24);

/// Whether a request is one that a server of that many workers and rows accepts. It is to be asked
/// before anything is allocated for what follows the head. `is_known` says that the connection has
/// shown the token; before that, nothing but a hello with a short token is accepted.
bool is_valid(const ServerRequest& request, int64_t workers, int64_t rows, bool is_known);

/// The status of an answer: 0, or 1 + the number of the worker that has failed.
using ServerStatus = int64_t;

/// Reads or writes all bytes; false if the other side is gone. No signal is raised.
bool receive_all(const Descriptor& socket, void* to, size_t bytes);
bool send_all(const Descriptor& socket, const void* from, size_t bytes);

}  // namespace levin
