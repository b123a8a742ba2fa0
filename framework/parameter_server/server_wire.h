#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Numbers that travel beside each gradient; the largest ones of all workers come back with values.
inline constexpr size_t kServerFlags = 16;
using ServerFlags = std::array<double, kServerFlags>;

/// What a worker asks a parameter server. In memory and on the wire, a request is this head, in the
/// byte order of the machine (all ranks of a run have the same), and then what `kind` says:
///
/// | kind   | count | behind the head                     | the answer                        |
/// |--------|-------|-------------------------------------|-----------------------------------|
/// | hello  | bytes | the token                           | a ServerDescription               |
/// | push   | rows  | numbers of the rows; values         | a ServerAnswer                    |
/// | stage  | rows  | clocks; numbers of the rows; values | a ServerAnswer                    |
/// | commit | 0     |                                     | a ServerAnswer; clocks            |
/// | pull   | rows  | clocks; numbers of the rows         | a ServerAnswer; clocks; the values |
/// | report | 0     |                                     |                                   |
/// | leave  | 0     |                                     |                                   |
///
/// Numbers of rows are int64, and there are none if the rows follow each other (`is_list` is 0).
/// Clocks, how many gradients of each worker count, are int64. Workers tell them to each server but
/// the first, whose answers they are from; with a single server there are none. Nothing follows an
/// answer whose status isn't 0.
///
/// With several servers, a gradient is staged on all of them, and then committed on the first one,
/// which alone says whether a gradient counts. The others learn it by the clocks of the next
/// request of any worker. So a gradient counts on all servers or on none, whenever its worker dies.
struct ServerRequest {
  static constexpr uint32_t kMagic = 0x5156454c;  // "LEVQ"
  enum class Kind : uint32_t {
    hello = 1,
    push = 2,
    stage = 3,
    commit = 4,
    pull = 5,
    report = 6,
    leave = 7
  };

  uint32_t magic = kMagic;
  Kind kind = Kind::hello;
  int64_t worker = 0;
  /// Whether numbers of rows follow; 0 or 1.
  int64_t is_list = 0;
  /// The first of rows that follow each other; of a report, the status that all others are to get.
  int64_t first = 0;
  int64_t count = 0;
  /// How much the gradient counts, for example its number of rows of data.
  double weight = 0.0;
  ServerFlags flags{};
};
static_assert(sizeof(ServerRequest) == 48 + 8 * kServerFlags);

/// The head of an answer.
struct ServerAnswer {
  /// 0, 1 + the number of the worker that has failed, or -1 - the number of the server that has.
  int64_t status = 0;
  /// How many times the server has changed its values: the number of the round if workers go in
  /// step, otherwise that of the gradients.
  int64_t round = 0;
  /// How many gradients of the slowest and of the fastest worker the values have.
  int64_t slowest = 0;
  int64_t fastest = 0;
  /// How many workers have been lost, if the others go on without them.
  int64_t lost = 0;
  /// The sum of the weights and the maxima of the flags: of the round if workers go in step,
  /// otherwise of all gradients so far.
  double weight = 0.0;
  ServerFlags flags{};
};
static_assert(sizeof(ServerAnswer) == 48 + 8 * kServerFlags);

/// What a server tells a worker that it has accepted.
struct ServerDescription {
  int64_t type = 0;  // ServerType
  int64_t workers = 0;
  int64_t server = 0;
  int64_t servers = 0;
  int64_t rows = 0;
  int64_t width = 0;
};
static_assert(sizeof(ServerDescription) == 48);

/// Whether a request is one that the described server accepts. It is to be asked before anything is
/// allocated for what follows the head. `is_known` says that the connection has shown the token;
/// before that, nothing but a hello with a short token is accepted.
bool is_valid(const ServerRequest& request, const ServerDescription& server, bool is_known);
/// Whether a description is one that a client can work with.
bool is_valid(const ServerDescription& description);

/// Reads or writes all bytes, and waits for that; false if the other side is gone. No signal is
/// raised.
bool receive_all(const Descriptor& socket, void* to, size_t bytes);
bool send_all(const Descriptor& socket, const void* from, size_t bytes);
/// Writes several pieces, which are changed, one after another.
bool send_all(const Descriptor& socket, std::span<iovec> pieces);

/// Takes the bytes off the front of pieces that have been read or written.
std::span<iovec> without(std::span<iovec> pieces, size_t bytes);
/// A piece of memory that is read or written; sending doesn't change it.
inline iovec piece_of(const void* data, size_t bytes) { return {const_cast<void*>(data), bytes}; }

}  // namespace levin
