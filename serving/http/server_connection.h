#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <levin/serving/http/http_message.h>
#include <levin/serving/http/http_parser.h>
#include <levin/serving/http/http_shared.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {

class HttpWorker;

/// One connection: reads a request, gives it to the handler, writes the answer, and only then reads
/// the next, so that a client that sends ahead occupies no more memory than another. All of it
/// happens on the worker's thread. What carries the bytes, TCP or TLS, is a derived class.
class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  explicit ServerConnection(HttpWorker& worker);
  virtual ~ServerConnection() = default;
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  /// Begins. A `refused` connection only gets status 503.
  void start(bool refused);
  /// Gives the answer to request `number`; does nothing if that isn't the one in progress.
  void answer(uint64_t number, HttpResponse response);
  /// Ends the connection, or the request, if it has been too slow.
  void sweep(HttpClock::time_point now);
  /// Ends the connection if no request has begun. One whose bytes have arrived has.
  void drain();
  /// Ends the connection at once.
  void close();

  /// The place in the worker's list.
  size_t place = 0;

 protected:
  using Buffers = std::array<boost::asio::const_buffer, 2>;

  // What a derived class does, and reports with handshaken(), received() and sent().
  virtual boost::asio::ip::tcp::socket& socket() = 0;
  virtual void shake_hands() = 0;
  virtual void read(char* to, size_t most) = 0;
  virtual void write(const Buffers& buffers) = 0;
  /// Tells the client that nothing follows, and calls said_goodbye().
  virtual void say_goodbye() = 0;

  void handshaken(bool success);
  void received(bool success, size_t count);
  void sent(bool success, size_t count);
  void said_goodbye();

 private:
  enum class State { kHandshake, kIdle, kReading, kHandling, kWriting, kLingering, kClosed };

  void enter(State state, double seconds);
  void begin_request();
  void process();
  void process_input();
  void check_header();
  void read_more();
  void make_room();
  void hold_body();
  void let_go_body();
  void handle();
  void refuse(const Refusal& refusal);
  void respond(HttpResponse response);
  void write_rest();
  void finish_response();
  void end();
  void linger();
  void discard();

  HttpWorker& worker_;
  HttpShared& shared_;
  State state_ = State::kHandshake;
  HttpClock::time_point deadline_{};
  bool refused_ = false;
  bool counted_ = false;
  bool busy_ = false;            // begin_request() was called
  bool reading_ = false;         // a read is in progress
  bool header_checked_ = false;  // of the request that is being read
  bool continuing_ = false;      // what is being written is "100 Continue"
  bool keep_alive_ = true;       // after the answer
  bool accepts_gzip_ = false;
  bool lingering_ = false;  // wait for the client's end before closing
  uint64_t number_ = 0;     // of the request

  HttpParser parser_;
  int64_t held_ = 0;  // bytes of the body, which count among those of all connections
  std::vector<char> input_{};
  size_t begin_ = 0;  // what has come and wasn't parsed: input_[begin_, end_)
  size_t end_ = 0;

  std::string head_{};
  std::string body_{};
  size_t written_ = 0;
};

}  // namespace levin
