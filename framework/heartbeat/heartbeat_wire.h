#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// What the heartbeats of two ranks tell each other.
///
/// | kind    | rank      | flag                         | seconds                | text        |
/// |---------|-----------|------------------------------|------------------------|-------------|
/// | hello   | who joins |                              |                        | the token   |
/// | beat    |           | it waits for other ranks     | since its last step    |             |
/// | failure | who fails | because of another's failure |                        | the message |
/// | goodbye |           |                              |                        |             |
///
/// On the wire: kind and flag (a byte each), rank, milliseconds and the text's length (4 bytes
/// each, the most significant first), the text.
struct HeartbeatMessage {
  enum class Kind : uint8_t { hello = 'H', beat = 'B', failure = 'F', goodbye = 'G' };

  Kind kind = Kind::beat;
  int64_t rank = 0;
  bool flag = false;
  double seconds = 0;
  std::string text{};
};

/// One end of a TCP connection that carries such messages. No call waits or raises SIGPIPE.
class HeartbeatConnection {
 public:
  /// Takes texts of 64 bytes until `trust` is called: who connects may be anybody.
  explicit HeartbeatConnection(Descriptor socket);

  void trust();
  bool is_open() const { return socket_.is_open(); }
  int descriptor() const { return socket_.get(); }
  void close() { socket_.close(); }

  /// Texts longer than 16 KiB are cut. What the system doesn't take now waits for `flush`.
  void send(const HeartbeatMessage& message);
  void flush();
  bool has_unsent() const { return !unsent_.empty(); }
  /// Nothing more is sent: the other side finds the end after the last message.
  void finish();

  /// Takes what has come; false where the other side has ended.
  bool receive();
  /// The next whole message of it. Drops what comes after bytes that are none, and the connection.
  std::optional<HeartbeatMessage> next();

 private:
  Descriptor socket_;
  size_t most_text_;
  std::string received_;
  std::string unsent_;
  bool finished_ = false;
};

/// Where a heartbeat is joined, as text: "address:port token".
struct HeartbeatAddress {
  std::string host{};
  uint16_t port = 0;
  /// What only the ranks of this run know.
  std::string token{};

  std::string text() const;
  /// Throws DistributedError where `text` isn't such a text.
  static HeartbeatAddress parse(std::string_view text);
};

/// Listens at a port the system picks: for this host only where `host` is a loopback address, else
/// on all interfaces. Gives the address with a new token. Throws DistributedError.
Descriptor listen_for_heartbeats(const std::string& host, HeartbeatAddress& address);

/// Connects within `seconds`. Throws DistributedError.
Descriptor connect_to_heartbeat(const HeartbeatAddress& address, double seconds);

/// A connection that waits to be taken; not open where there is none. `error`: errno, 0 for none.
Descriptor accept_heartbeat(const Descriptor& listener, int& error);

}  // namespace levin
