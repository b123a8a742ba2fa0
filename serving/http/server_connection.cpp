#include <levin/serving/http/server_connection.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include <boost/asio/post.hpp>

#include <levin/serving/http/compression.h>
#include <levin/serving/http/http_response.h>
#include <levin/serving/http/http_worker.h>

namespace levin {
namespace {

constexpr size_t kSmallInput = size_t{16} << 10;
/// While a large body comes.
constexpr size_t kLargeInput = size_t{256} << 10;
/// Responses up to this size are copied behind their header; larger ones are written from where
/// they are.
constexpr size_t kSmallBody = size_t{16} << 10;
/// Request bodies up to this size take no more than the other buffers of a connection.
constexpr size_t kUncountedBody = size_t{16} << 10;
/// Seconds in which a client may read an answer before its connection, on which it still sends, is
/// closed.
constexpr double kLinger = 2.0;
/// Text that is larger is compressed if the client takes it.
constexpr size_t kWorthCompressing = size_t{16} << 10;
constexpr double kForever = 0.0;

bool is_text(std::string_view content_type) {
  return content_type.starts_with("text/") || content_type.starts_with("application/json") ||
         content_type.starts_with("image/svg");
}

void erase_header(HttpHeaders& headers, std::string_view name) {
  headers.erase(std::remove_if(headers.begin(), headers.end(),
                               [name](const std::pair<std::string, std::string>& entry) {
                                 return equals_ignoring_case(entry.first, name);
                               }),
                headers.end());
}

/// The bytes of a body that a handler has, until it returns.
class HeldBody {
 public:
  HeldBody(HttpShared& shared, int64_t bytes) : shared_(shared), bytes_(bytes) {}
  ~HeldBody() {
    if (bytes_ != 0) shared_.hold(-bytes_);
  }
  HeldBody(const HeldBody&) = delete;
  HeldBody& operator=(const HeldBody&) = delete;

 private:
  HttpShared& shared_;
  const int64_t bytes_;
};

}  // namespace

ServerConnection::ServerConnection(HttpWorker& worker)
    : worker_(worker),
      shared_(worker.shared()),
      parser_(shared_.options.max_header, shared_.options.max_body) {}

void ServerConnection::enter(State state, double seconds) {
  state_ = state;
  deadline_ =
      seconds == kForever ? HttpClock::time_point::max() : HttpClock::now() + http_seconds(seconds);
}

void ServerConnection::start(bool refused) {
  refused_ = refused;
  counted_ = true;
  ++(refused ? shared_.refused : shared_.open);
  enter(State::kHandshake, shared_.options.read_timeout);
  shake_hands();
}

void ServerConnection::handshaken(bool success) {
  if (state_ == State::kClosed) return;
  if (!success) return close();
  if (refused_) {
    return refuse(Refusal::unavailable("the server has as many connections as it takes"));
  }
  input_.resize(kSmallInput);
  enter(State::kIdle, shared_.options.idle_timeout);
  read_more();
}

void ServerConnection::begin_request() {
  if (busy_) return;
  busy_ = true;
  shared_.begin_request();
  ++number_;
  enter(State::kReading, shared_.options.read_timeout);
}

void ServerConnection::received(bool success, size_t count) {
  reading_ = false;
  if (state_ == State::kClosed) return;
  if (state_ == State::kLingering) {
    if (!success) return close();
    return discard();
  }
  if (!success) {
    // A client that only sends no more may still wait for what is being written.
    if (state_ == State::kIdle || state_ == State::kReading) close();
    return;
  }
  if (state_ != State::kIdle && state_ != State::kReading) return;  // it came too late
  end_ += count;
  process();
}

void ServerConnection::process() {
  try {
    process_input();
  } catch (const Refusal& refusal) {
    // Where a request that breaks the rules ends is unclear.
    keep_alive_ = keep_alive_ && header_checked_ && parser_.done();
    refuse(refusal);
  } catch (const std::bad_alloc&) {
    keep_alive_ = false;
    refuse(Refusal::unavailable("the server has no memory for the request"));
  }
}

void ServerConnection::process_input() {
  while (begin_ < end_ && !parser_.done()) {
    begin_request();
    const size_t consumed = parser_.parse({input_.data() + begin_, end_ - begin_});
    begin_ += consumed;
    hold_body();
    if (parser_.header_done() && !header_checked_) {
      header_checked_ = true;
      check_header();
      if (continuing_) return;
    } else if (consumed == 0) {
      break;
    }
  }
  if (parser_.done()) return handle();
  read_more();
}

void ServerConnection::check_header() {
  const auto& request = parser_.request();
  const auto& options = shared_.options;
  keep_alive_ = parser_.keep_alive();
  if (shared_.token.required() &&
      std::find(options.open_paths.begin(), options.open_paths.end(), request.path) ==
          options.open_paths.end() &&
      !shared_.token.admits(header(request.headers, "Authorization"))) {
    throw Refusal(401, "this address needs the header 'Authorization: Bearer TOKEN'");
  }
  if (parser_.body_left() > options.memory) {
    throw Refusal::too_large("the body of the request is larger than the memory of the server");
  }
  if (parser_.expect().empty() || parser_.http_1_0()) return;
  if (parser_.expect() != "100-continue") {
    throw Refusal(417, "the only expectation that is known here is 100-continue");
  }
  if (parser_.done() || begin_ < end_) return;  // the client didn't wait
  continuing_ = true;
  head_ = "HTTP/1.1 100 Continue\r\n\r\n";
  body_.clear();
  written_ = 0;
  state_ = State::kWriting;
  write_rest();
}

void ServerConnection::hold_body() {
  const size_t size = parser_.request().body.size();
  if (size <= kUncountedBody || static_cast<int64_t>(size) == held_) return;
  if (!shared_.hold(static_cast<int64_t>(size) - held_)) {
    throw Refusal::overloaded("the server has no memory for the request now", 1);
  }
  held_ = static_cast<int64_t>(size);
}

void ServerConnection::let_go_body() {
  if (held_ != 0) shared_.hold(-std::exchange(held_, 0));
}

void ServerConnection::make_room() {
  if (begin_ == end_) begin_ = end_ = 0;
  size_t wanted = kSmallInput;
  if (parser_.body_left() > static_cast<int64_t>(kSmallInput)) {
    wanted = std::min(static_cast<size_t>(parser_.body_left()), kLargeInput);
  }
  if (begin_ == 0 && end_ == input_.size()) {
    // Only a header, or the line before a chunk, must be in one piece.
    const auto most = std::max(static_cast<size_t>(shared_.options.max_header) + 4, kSmallInput);
    if (input_.size() >= most) {
      throw Refusal(431, "a line of the request is longer than the server takes");
    }
    wanted = std::min(2 * input_.size(), most);
  }
  if (begin_ > 0 && begin_ < end_) {
    std::memmove(input_.data(), input_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (input_.size() < wanted) input_.resize(wanted);
}

void ServerConnection::read_more() {
  if (reading_ || state_ == State::kClosed) return;
  make_room();
  reading_ = true;
  read(input_.data() + end_, input_.size() - end_);
}

void ServerConnection::handle() {
  auto& request = parser_.request();
  if (const auto encoding = header(request.headers, "Content-Encoding"); !encoding.empty()) {
    try {
      request.body = decompress_body(encoding, std::move(request.body), shared_.options.max_body);
      hold_body();
    } catch (const Refusal& refusal) {
      return refuse(refusal);  // the request was whole, so the connection goes on
    }
    erase_header(request.headers, "Content-Encoding");
    erase_header(request.headers, "Content-Length");
  }
  accepts_gzip_ = accepts_gzip(header(request.headers, "Accept-Encoding"));
  enter(State::kHandling, kForever);
  const uint64_t number = number_;
  const HeldBody held(shared_, std::exchange(held_, 0));
  try {
    const auto reply = worker_.mailbox().reply(weak_from_this(), number);
    try {
      shared_.handler(std::move(request), reply);
    } catch (const Refusal& refusal) {
      reply(error_response(refusal));
    } catch (const std::exception& error) {
      shared_.log(std::string("serving: a request failed: ") + error.what());
      reply(error_response(Refusal::failed()));
    }
  } catch (const std::bad_alloc&) {
    answer(number, error_response(Refusal::failed()));
  }
}

void ServerConnection::answer(uint64_t number, HttpResponse response) {
  if (state_ != State::kHandling || number != number_) return;
  respond(std::move(response));
}

void ServerConnection::refuse(const Refusal& refusal) {
  if (state_ == State::kClosed) return;
  if (refused_ || !parser_.done()) keep_alive_ = false;
  respond(error_response(refusal));
}

void ServerConnection::respond(HttpResponse response) {
  if (shared_.draining) keep_alive_ = false;
  if (accepts_gzip_ && response.body.size() > kWorthCompressing && is_text(response.content_type) &&
      header(response.headers, "Content-Encoding").empty()) {
    response.body = gzip_body(response.body);
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.headers.emplace_back("Vary", "Accept-Encoding");
  }
  write_response_header(head_, response, {keep_alive_, parser_.http_1_0()});
  body_.clear();
  if (!parser_.head() && response.status != 204 && response.status != 304) {
    if (response.body.size() <= kSmallBody) {
      head_ += response.body;
    } else {
      body_ = std::move(response.body);
    }
  }
  written_ = 0;
  enter(State::kWriting, shared_.options.write_timeout);
  write_rest();
}

void ServerConnection::write_rest() {
  Buffers buffers;
  if (written_ < head_.size()) {
    buffers[0] = boost::asio::const_buffer(head_.data() + written_, head_.size() - written_);
    buffers[1] = boost::asio::const_buffer(body_.data(), body_.size());
  } else {
    const size_t of_body = written_ - head_.size();
    buffers[0] = boost::asio::const_buffer(body_.data() + of_body, body_.size() - of_body);
  }
  write(buffers);
}

void ServerConnection::sent(bool success, size_t count) {
  if (state_ != State::kWriting) return;
  if (!success) return close();
  written_ += count;
  if (written_ < head_.size() + body_.size()) {
    if (!continuing_) enter(State::kWriting, shared_.options.write_timeout);
    return write_rest();
  }
  if (continuing_) {
    continuing_ = false;
    state_ = State::kReading;
    return process();
  }
  finish_response();
}

void ServerConnection::finish_response() {
  const bool whole = parser_.done();
  if (busy_) {
    busy_ = false;
    shared_.end_request();
  }
  if (body_.capacity() > kSmallBody) std::string().swap(body_);
  let_go_body();
  if (!keep_alive_ || shared_.draining) {
    // Closing a connection on which bytes arrive would take the answer away from the client.
    return !whole || begin_ < end_ || refused_ ? linger() : end();
  }
  parser_.reset();
  header_checked_ = false;
  accepts_gzip_ = false;
  if (begin_ == end_ && input_.size() > kSmallInput) {
    begin_ = end_ = 0;
    std::vector<char>(kSmallInput).swap(input_);
  }
  enter(State::kIdle, shared_.options.idle_timeout);
  process();
}

void ServerConnection::end() {
  lingering_ = false;
  enter(State::kLingering, kLinger);
  reading_ ? said_goodbye() : say_goodbye();
}

void ServerConnection::linger() {
  lingering_ = true;
  enter(State::kLingering, kLinger);
  reading_ ? said_goodbye() : say_goodbye();
}

void ServerConnection::said_goodbye() {
  if (state_ != State::kLingering) return;
  if (!lingering_) return close();
  boost::system::error_code ignored;
  socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  discard();
}

void ServerConnection::discard() {
  if (reading_) return;
  begin_ = end_ = 0;
  if (input_.empty()) input_.resize(kSmallInput);
  reading_ = true;
  socket().async_read_some(
      boost::asio::buffer(input_),
      [self = shared_from_this()](const boost::system::error_code& error, size_t count) {
        self->received(!error, count);
      });
}

void ServerConnection::sweep(HttpClock::time_point now) {
  if (state_ == State::kIdle && shared_.draining) return drain();
  if (now < deadline_) return;
  if (state_ == State::kReading) {
    keep_alive_ = false;
    return refuse(Refusal(408, "the request didn't come within the time that the server waits"));
  }
  close();
}

void ServerConnection::drain() {
  if (state_ == State::kHandshake) return close();
  if (state_ != State::kIdle) return;
  // A read may have taken bytes already, and wait for its turn to report them.
  boost::asio::post(worker_.context(), [self = shared_from_this()] {
    if (self->state_ != State::kIdle) return;
    boost::system::error_code error;
    if (self->socket().available(error) > 0 && !error) return self->begin_request();
    self->close();
  });
}

void ServerConnection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  if (busy_) {
    busy_ = false;
    shared_.end_request();
  }
  if (counted_) --(refused_ ? shared_.refused : shared_.open);
  let_go_body();
  boost::system::error_code ignored;
  socket().close(ignored);
  worker_.remove(*this);
}

}  // namespace levin
