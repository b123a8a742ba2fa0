#include <levin/framework/parameter_server/parameter_server.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace levin {
namespace {

constexpr time_t kHelloSeconds = 10;
// Connections of strangers beside those of the workers.
constexpr size_t kMostStrangers = 16;
// How long a server waits if the system gives it no connection, for example for want of files.
constexpr int kPauseMilliseconds = 100;
// How many bytes of single rows are gathered before they are sent.
constexpr size_t kGathered = size_t{256} << 10;

/// Compares in a time that doesn't tell how much of the token was right.
bool is_same_token(const std::string& given, const std::string& token) {
  if (given.size() != token.size()) return false;
  int difference = 0;
  for (size_t i = 0; i < token.size(); ++i) difference |= given[i] ^ token[i];
  return difference == 0;
}

/// Whether the other side has closed the connection; what it has sent may still be unread.
bool has_closed(const Descriptor& socket) {
  pollfd look{socket.get(), POLLRDHUP, 0};
  return ::poll(&look, 1, 0) > 0;
}

void limit_waits(const Descriptor& socket, time_t seconds) {
  const timeval limit{.tv_sec = seconds, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/// Sends single rows, gathered some at a time.
bool send_rows(const Descriptor& socket, ConstServerSpan values, int64_t width,
               std::span<const int64_t> rows) {
  const size_t bytes = static_cast<size_t>(width) * static_cast<size_t>(values.type());
  if (bytes >= kGathered) {
    return std::all_of(rows.begin(), rows.end(), [&](int64_t row) {
      return send_all(socket, values.data() + static_cast<size_t>(row) * bytes, bytes);
    });
  }
  const size_t together = kGathered / bytes;
  std::vector<std::byte> gathered(std::min(together, rows.size()) * bytes);
  for (size_t first = 0; first < rows.size(); first += together) {
    const size_t count = std::min(together, rows.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const auto row = static_cast<size_t>(rows[first + i]);
      std::memcpy(gathered.data() + i * bytes, values.data() + row * bytes, bytes);
    }
    if (!send_all(socket, gathered.data(), count * bytes)) return false;
  }
  return true;
}

}  // namespace

ParameterServer::ParameterServer(ParameterServerOptions options, ConstServerSpan values,
                                 Apply apply)
    : table_(std::move(options), values, std::move(apply)),
      description_(table_.description()),
      address_{.host = table_.options().host},
      listener_(listen_at(address_)),
      stop_(Pipe::open()) {
  accepting_ = std::thread([this] { accept_workers(); });
}

ParameterServer::~ParameterServer() {
  table_.stop();
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    for (auto& connection : connections_) ::shutdown(connection.socket.get(), SHUT_RDWR);
  }
  stop_.write.close();
  accepting_.join();
  for (auto& connection : connections_) connection.thread.join();
}

std::optional<int64_t> ParameterServer::failed_worker() const {
  const auto lost = lost_workers();
  return lost.empty() ? std::nullopt : std::optional(lost.front());
}

void ParameterServer::accept_workers() {
  for (;;) {
    std::array<pollfd, 2> waits{
        {{stop_.read.get(), POLLIN | POLLHUP, 0}, {listener_.get(), POLLIN, 0}}};
    ::poll(waits.data(), waits.size(), -1);
    if (waits[0].revents != 0) return;
    if (waits[1].revents == 0) continue;
    Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.is_open()) {
      if (::poll(waits.data(), 1, kPauseMilliseconds) > 0) return;
      continue;
    }
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return;
    remove_ended();
    if (connections_.size() >= static_cast<size_t>(description_.workers) + kMostStrangers) continue;
    limit_waits(socket, kHelloSeconds);
    prepare_connection(socket);
    auto& connection = connections_.emplace_back();
    connection.socket = std::move(socket);
    try {
      connection.thread = std::thread([this, &connection] { serve(connection); });
    } catch (const std::system_error&) {  // no thread to be had; whoever connects finds it closed
      connections_.pop_back();
    }
  }
}

/// Forgets connections whose threads have ended; the mutex is locked.
void ParameterServer::remove_ended() {
  for (auto it = connections_.begin(); it != connections_.end();) {
    if (!it->is_over) {
      ++it;
      continue;
    }
    it->thread.join();
    it = connections_.erase(it);
  }
}

void ParameterServer::serve(Connection& connection) {
  using Kind = ServerRequest::Kind;
  const Descriptor& socket = connection.socket;
  std::optional<int64_t> worker;
  bool is_leaving = false;
  ServerRequest request;
  try {
    while (!is_leaving && receive(socket, &request, sizeof(request))) {
      if (!is_valid(request, description_, worker.has_value())) break;
      if (worker && request.worker != *worker) break;
      if (request.kind == Kind::leave) {
        is_leaving = true;
      } else if (request.kind == Kind::hello) {
        if (!greet(socket, request)) break;
        worker = request.worker;
        if (!send(socket, &description_, sizeof(description_))) break;
      } else if (!answer(socket, request)) {
        break;
      }
    }
  } catch (const std::bad_alloc&) {  // the worker is lost, and finds its connection closed
  }
  if (worker && is_leaving) table_.leave(*worker);
  if (worker && !is_leaving) {
    heed_last_report(socket, *worker);
    table_.lose(*worker);
  }
  const std::lock_guard lock(mutex_);
  ::shutdown(socket.get(), SHUT_RDWR);
  connection.is_over = true;
}

/// A worker that waited for an answer may have said why it fails before it closed the connection.
void ParameterServer::heed_last_report(const Descriptor& socket, int64_t worker) {
  ServerRequest request;
  if (::recv(socket.get(), &request, sizeof(request), MSG_DONTWAIT) != sizeof(request)) return;
  if (request.kind != ServerRequest::Kind::report || request.worker != worker) return;
  if (is_valid(request, description_, true)) table_.fail(request.first);
}

bool ParameterServer::greet(const Descriptor& socket, const ServerRequest& hello) {
  std::string token(static_cast<size_t>(hello.count), '\0');
  if (!receive(socket, token.data(), token.size())) return false;
  if (!is_same_token(token, table_.options().token)) return false;
  limit_waits(socket, 0);
  return table_.join(hello.worker);
}

bool ParameterServer::answer(const Descriptor& socket, const ServerRequest& request) {
  using Kind = ServerRequest::Kind;
  if (request.kind == Kind::pull) return answer_pull(socket, request);
  if (request.kind == Kind::report) {
    table_.fail(request.first);
    return true;
  }
  if (request.kind == Kind::commit) return commit(socket, request.worker);
  return take_gradient(socket, request);
}

bool ParameterServer::commit(const Descriptor& socket, int64_t worker) {
  table_.commit(worker);
  const ServerAnswer status = table_.status();
  std::vector<int64_t> clocks;
  if (status.status == 0) clocks = table_.clocks();
  std::array pieces = {piece_of(&status, sizeof(status)),
                       piece_of(clocks.data(), clocks.size() * sizeof(int64_t))};
  for (const auto& piece : pieces) bytes_sent_ += piece.iov_len;
  return send_all(socket, pieces);
}

bool ParameterServer::receive(const Descriptor& socket, void* to, size_t bytes) {
  if (!receive_all(socket, to, bytes)) return false;
  bytes_received_ += bytes;
  return true;
}

bool ParameterServer::send(const Descriptor& socket, const void* from, size_t bytes) {
  bytes_sent_ += bytes;
  return send_all(socket, from, bytes);
}

bool ParameterServer::send_status(const Descriptor& socket) {
  const ServerAnswer status = table_.status();
  return send(socket, &status, sizeof(status));
}

/// Receives how many gradients of each worker count, unless this is the first server.
bool ParameterServer::receive_clocks(const Descriptor& socket, std::vector<int64_t>& clocks) {
  if (description_.server == 0) return true;
  clocks.resize(static_cast<size_t>(description_.workers));
  return receive(socket, clocks.data(), clocks.size() * sizeof(int64_t)) && table_.learn(clocks);
}

/// Receives numbers of rows; false if they don't ascend or there is no such row.
bool ParameterServer::receive_rows(const Descriptor& socket, const ServerRequest& request,
                                   std::vector<int64_t>& rows) {
  if (request.is_list == 0) return true;
  rows.resize(static_cast<size_t>(request.count));
  if (!receive(socket, rows.data(), rows.size() * sizeof(int64_t))) return false;
  int64_t before = -1;
  for (const int64_t row : rows) {
    if (row <= std::exchange(before, row) || row >= description_.rows) return false;
  }
  return true;
}

bool ParameterServer::take_gradient(const Descriptor& socket, const ServerRequest& request) {
  std::vector<int64_t> clocks;
  if (!receive_clocks(socket, clocks)) return false;
  ServerGradient gradient{.worker = request.worker,
                          .weight = request.weight,
                          .is_list = request.is_list == 1,
                          .first = request.first,
                          .count = request.count};
  if (!receive_rows(socket, request, gradient.rows)) return false;
  if (!table_.prepare(gradient, [&] { return has_closed(socket); })) return false;
  if (!receive(socket, gradient.values.data(), gradient.values.bytes())) return false;
  table_.stage(std::move(gradient), request.flags);
  if (request.kind == ServerRequest::Kind::push) table_.commit(request.worker);
  return send_status(socket);
}

bool ParameterServer::answer_pull(const Descriptor& socket, const ServerRequest& request) {
  std::vector<int64_t> clocks;
  std::vector<int64_t> rows;
  if (!receive_clocks(socket, clocks) || !receive_rows(socket, request, rows)) return false;
  const auto reading = table_.read(request.worker, clocks, [&] { return has_closed(socket); });
  if (reading == nullptr) return false;
  const auto width = static_cast<size_t>(description_.width);
  const bool is_list = request.is_list == 1;
  const bool has_failed = reading->answer.status != 0;
  std::vector<iovec> pieces = {piece_of(&reading->answer, sizeof(reading->answer))};
  if (!has_failed && description_.server == 0 && description_.servers > 1) {
    pieces.push_back(piece_of(reading->clocks.data(), reading->clocks.size() * sizeof(int64_t)));
  }
  if (!has_failed && !is_list) {
    const auto slice = reading->values.part(static_cast<size_t>(request.first) * width,
                                            static_cast<size_t>(request.count) * width);
    pieces.push_back(piece_of(slice.data(), slice.bytes()));
  }
  for (const auto& piece : pieces) bytes_sent_ += piece.iov_len;
  if (!send_all(socket, pieces)) return false;
  if (has_failed || !is_list) return true;
  bytes_sent_ += rows.size() * width * static_cast<size_t>(description_.type);
  return send_rows(socket, reading->values, description_.width, rows);
}

}  // namespace levin
