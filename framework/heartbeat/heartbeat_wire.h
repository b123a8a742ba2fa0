#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// A message between the heartbeats of two ranks. Empty cells are fields without a meaning.
///
/// | kind    | rank            | flag                      | seconds           | text        |
/// |---------|-----------------|---------------------------|-------------------|-------------|
/// | hello   | the sender      |                           |                   | the token   |
/// | beat    |                 | waiting for other ranks   | without progress  |             |
/// | failure | the failed rank | caused by another failure |                   | the message |
/// | goodbye |                 |                           |                   |             |
///
/// Encoding: kind and flag (one byte each); rank, milliseconds and the length of the text (four
/// bytes each, most significant first); the text.
struct HeartbeatMessage {
  enum class Kind : uint8_t { hello = 'H', beat = 'B', failure = 'F', goodbye = 'G' };

  Kind kind = Kind::beat;
  int64_t rank = 0;
  bool flag = false;
  double seconds = 0;
  std::string text{};
};

/// One end of a TCP connection that carries heartbeat messages. No call blocks or raises SIGPIPE.
///
/// Bytes that aren't a message close the connection, since any program can connect to the port.
class HeartbeatConnection {
 public:
  /// Takes ownership of a connected socket. Until `trust` is called, messages with more than 64
  /// bytes of text are refused, because the sender isn't known to be a rank.
  explicit HeartbeatConnection(Descriptor socket);

  /// Accepts messages of full length (16 KiB of text) from now on.
  void trust();
  bool is_open() const { return socket_.is_open(); }
  int descriptor() const { return socket_.get(); }
  void close() { socket_.close(); }

  /// Sends a message, cutting its text to 16 KiB. Bytes that the system doesn't accept now are kept
  /// and sent by `flush`.
  void send(const HeartbeatMessage& message);
  /// Sends as much as possible of what earlier calls of `send` had to keep.
  void flush();
  bool has_unsent() const { return !unsent_.empty(); }
  /// Closes the sending direction once everything is sent. The other side then finds the end of the
  /// connection after the last message.
  void finish();

  /// Reads the bytes that have arrived. Returns false if the other side has closed the connection;
  /// messages that arrived before that can still be taken with `next`.
  bool receive();
  /// Returns the next complete message that was received, or nothing if there is none yet. Closes
  /// the connection if the bytes aren't a message.
  std::optional<HeartbeatMessage> next();

 private:
  Descriptor socket_;
  size_t most_text_;
  std::string received_;
  std::string unsent_;
  bool finished_ = false;
};

/// The address at which rank 0's heartbeat listens.
struct HeartbeatAddress {
  std::string host{};
  uint16_t port = 0;
  /// A random text that only the ranks of this run know. It keeps other programs, and ranks of
  /// other runs, from joining.
  std::string token{};

  /// Returns the address as text: "host:port token".
  std::string text() const;
  /// Reads what `text` returned. Throws DistributedError if the text has another form.
  static HeartbeatAddress parse(std::string_view text);
};

/// Opens a listening socket at a port that the system chooses, and sets `address` to it, with a new
/// token.
///
/// If `host` is a loopback address, only this host can connect; otherwise the socket listens on all
/// network interfaces. Throws DistributedError if `host` can't be found or the socket can't be
/// opened.
Descriptor listen_for_heartbeats(const std::string& host, HeartbeatAddress& address);

/// Connects to rank 0's heartbeat. Throws DistributedError if that doesn't succeed within
/// `seconds`.
Descriptor connect_to_heartbeat(const HeartbeatAddress& address, double seconds);

/// Accepts a waiting connection, or returns a closed descriptor if none is waiting. Sets `error` to
/// 0, or to an errno value if accepting failed.
Descriptor accept_heartbeat(const Descriptor& listener, int& error);

}  // namespace levin
