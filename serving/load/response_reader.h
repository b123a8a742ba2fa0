#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// Finds the ends of HTTP/1.1 responses in the bytes of a connection, with as little work as
/// possible: it understands Content-Length and chunks, and skips what else a response says.
///
///     ResponseReader reader;
///     while (auto response = reader.take(bytes)) count(response->status);
class ResponseReader {
 public:
  struct Response {
    int status = 0;
    /// Whether the server closes the connection after this response.
    bool closes = false;
    /// The seconds of Retry-After; 0 without it.
    int retry_after = 0;
  };

  /// Whether the bodies of responses are kept; only their ends count otherwise.
  explicit ResponseReader(bool keep_bodies = false) : keeps_bodies_(keep_bodies) {}

  /// Reads from the front of `bytes`, which it shortens by what it has read. Returns a response if
  /// its last byte was there, and nothing if all bytes are read and it isn't complete. Interim
  /// responses (1xx) are skipped. Throws DataError for what isn't HTTP.
  std::optional<Response> take(std::string_view& bytes);

  /// Tells that the connection has ended. Returns the response that this completes, if it had
  /// neither a length nor chunks.
  std::optional<Response> end();

  /// Whether a part of a response was read.
  bool is_within() const { return state_ != State::head || !head_.empty(); }
  /// The body of the last response, if it is kept.
  const std::string& body() const { return body_; }

 private:
  enum class State { head, body, until_end, chunk_size, chunk, chunk_end, trailer };

  void read_head(std::string_view head);
  void read_header(std::string_view name, std::string_view value);
  /// Takes a line off `bytes`; nothing if it isn't complete, and then keeps the part of it.
  std::optional<std::string_view> take_line(std::string_view& bytes);
  void take_body(std::string_view& bytes);
  Response finish();

  bool keeps_bodies_;
  State state_ = State::head;
  Response response_{};
  bool is_chunked_ = false;
  std::optional<uint64_t> length_{};
  uint64_t left_ = 0;   // bytes of the body or of the chunk
  std::string head_{};  // the part of the head or of a line that has come, if not all of it has
  bool line_is_complete_ = false;
  std::string body_{};
};

}  // namespace levin
