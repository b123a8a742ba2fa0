#include <levin/framework/parameter_server/parameter_server.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr time_t kHelloSeconds = 10;
// How often a server looks whether a worker that waits for others is still there.
constexpr std::chrono::milliseconds kLookForWorker{200};
// Connections of strangers beside those of the workers.
constexpr size_t kMostStrangers = 16;

std::pair<Descriptor, uint16_t> listen_on_loopback() {
  Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (!listener.is_open() || ::bind(listener.get(), name, size) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0 || ::getsockname(listener.get(), name, &size) != 0) {
    throw DistributedError(fmt::format("the parameter server can't open a port on this host: {}",
                                       std::strerror(errno)));
  }
  return {std::move(listener), ntohs(address.sin_port)};
}

/// Compares in a time that doesn't tell how much of the token was right.
bool is_same_token(const std::string& given, const std::string& token) {
  if (given.size() != token.size()) return false;
  int difference = 0;
  for (size_t i = 0; i < token.size(); ++i) difference |= given[i] ^ token[i];
  return difference == 0;
}

/// Whether the other side has closed the connection; to be asked while it has nothing to send.
bool is_gone(const Descriptor& socket) {
  char byte = 0;
  return ::recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

ParameterServerOptions checked_server_options(ParameterServerOptions options) {
  const auto check = [](bool is_valid, const char* name, int64_t value, const char* rule) {
    if (!is_valid) throw ConfigError::invalid_value(name, fmt::to_string(value), rule);
  };
  check(options.workers >= 1, "workers", options.workers, "must be at least 1");
  check(options.staleness >= ServerClock::kUnbounded, "staleness", options.staleness,
        "must be 0 or more, or -1 for no bound");
  check(options.rows >= 0, "rows", options.rows, "must be 0 or more");
  check(options.width >= 1, "width", options.width, "must be at least 1");
  const size_t bytes = options.token.size();
  check(bytes >= 1 && bytes <= 64, "bytes of the token", static_cast<int64_t>(bytes),
        "must be 1 to 64");
  return options;
}

/// Makes the system send each message at once instead of waiting for more to send.
void send_messages_at_once(const Descriptor& socket) {
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

void limit_waits(const Descriptor& socket, time_t seconds) {
  const timeval limit{.tv_sec = seconds, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

}  // namespace

ParameterServer::ParameterServer(ParameterServerOptions options, std::vector<double> values,
                                 Apply apply)
    : options_(checked_server_options(std::move(options))),
      apply_(std::move(apply)),
      stop_(Pipe::open()),
      values_(std::move(values)),
      clock_(options_.workers, options_.staleness),
      round_(static_cast<size_t>(options_.workers)),
      has_joined_(static_cast<size_t>(options_.workers)) {
  if (values_.size() != static_cast<size_t>(options_.rows * options_.width)) {
    throw ConfigError::invalid_value(
        "values", fmt::to_string(values_.size()),
        fmt::format("must be rows * width = {} numbers", options_.rows * options_.width));
  }
  std::tie(listener_, port_) = listen_on_loopback();
  accepting_ = std::thread([this] { accept_workers(); });
}

ParameterServer::~ParameterServer() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    for (auto& connection : connections_) ::shutdown(connection.socket.get(), SHUT_RDWR);
  }
  changed_.notify_all();
  stop_.write.close();
  accepting_.join();
  for (auto& connection : connections_) connection.thread.join();
}

std::vector<double> ParameterServer::values() const {
  const std::lock_guard lock(mutex_);
  return values_;
}

std::optional<int64_t> ParameterServer::failed_worker() const {
  const std::lock_guard lock(mutex_);
  return failed_;
}

void ParameterServer::accept_workers() {
  for (;;) {
    std::array<pollfd, 2> waits{
        {{listener_.get(), POLLIN, 0}, {stop_.read.get(), POLLIN | POLLHUP, 0}}};
    ::poll(waits.data(), waits.size(), -1);
    if (waits[1].revents != 0) return;
    Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.is_open()) continue;
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return;
    for (auto it = connections_.begin(); it != connections_.end();) {
      if (!it->is_over) {
        ++it;
        continue;
      }
      it->thread.join();
      it = connections_.erase(it);
    }
    if (connections_.size() >= static_cast<size_t>(options_.workers) + kMostStrangers) continue;
    limit_waits(socket, kHelloSeconds);
    send_messages_at_once(socket);
    auto& connection = connections_.emplace_back();
    connection.socket = std::move(socket);
    connection.thread = std::thread([this, &connection] { serve(connection); });
  }
}

void ParameterServer::serve(Connection& connection) {
  const Descriptor& socket = connection.socket;
  int64_t worker = -1;
  bool is_leaving = false;
  ServerRequest request;
  while (!is_leaving && receive_all(socket, &request, sizeof(request))) {
    const bool is_known = worker >= 0;
    if (!is_valid(request, options_.workers, options_.rows, is_known)) break;
    if (is_known && request.worker != worker) break;
    if (request.kind == ServerRequest::Kind::leave) {
      is_leaving = true;
    } else if (request.kind == ServerRequest::Kind::hello) {
      if (!greet(socket, request)) break;
      worker = request.worker;
    } else if (request.kind == ServerRequest::Kind::push) {
      if (!take_push(socket, request)) break;
    } else if (!answer_pull(socket, request)) {
      break;
    }
  }
  const std::lock_guard lock(mutex_);
  ::shutdown(socket.get(), SHUT_RDWR);
  connection.is_over = true;
  if (worker < 0 || is_stopping_) return;
  if (is_leaving) {
    clock_.leave(worker);
    apply_round();
  } else if (!failed_) {
    failed_ = worker;
  }
  changed_.notify_all();
}

bool ParameterServer::greet(const Descriptor& socket, const ServerRequest& hello) {
  std::string token(static_cast<size_t>(hello.count), '\0');
  if (!receive_all(socket, token.data(), token.size())) return false;
  if (!is_same_token(token, options_.token)) return false;
  limit_waits(socket, 0);
  {
    const std::lock_guard lock(mutex_);
    if (has_joined_[static_cast<size_t>(hello.worker)]) return false;
    has_joined_[static_cast<size_t>(hello.worker)] = true;
  }
  const ServerStatus status = 0;
  return send_all(socket, &status, sizeof(status));
}

/// Receives numbers of rows; false if they don't ascend or there is no such row.
bool ParameterServer::receive_rows(const Descriptor& socket, int64_t count,
                                   std::vector<int64_t>& rows) const {
  if (count == ServerRequest::kAllRows) return true;
  rows.resize(static_cast<size_t>(count));
  if (!receive_all(socket, rows.data(), rows.size() * sizeof(int64_t))) return false;
  int64_t before = -1;
  for (const int64_t row : rows) {
    if (row <= std::exchange(before, row) || row >= options_.rows) return false;
  }
  return true;
}

bool ParameterServer::take_push(const Descriptor& socket, const ServerRequest& request) {
  ServerGradient gradient{.worker = request.worker};
  if (!receive_rows(socket, request.count, gradient.rows)) return false;
  const int64_t rows = request.count == ServerRequest::kAllRows ? options_.rows : request.count;
  gradient.values.resize(static_cast<size_t>(rows * options_.width));
  const size_t bytes = gradient.values.size() * sizeof(double);
  if (!receive_all(socket, gradient.values.data(), bytes)) return false;
  ServerStatus status = 0;
  {
    const std::lock_guard lock(mutex_);
    auto& own = round_[static_cast<size_t>(request.worker)];
    if (own) return false;  // a second gradient in one round
    // An empty list of rows is no gradient, and must not be taken for one of all rows.
    const bool is_empty = request.count == 0;
    clock_.advance(request.worker);
    if (options_.staleness == 0) {
      own = std::move(gradient);
      if (is_empty) own->values.clear();
      apply_round();
    } else if (!is_empty) {
      apply_(values_, {&gradient, 1});
    }
    if (failed_) status = 1 + *failed_;
  }
  changed_.notify_all();
  return send_all(socket, &status, sizeof(status));
}

/// Applies the gradients of a round if all workers have pushed theirs; the mutex is locked.
void ParameterServer::apply_round() {
  std::vector<ServerGradient> all;
  for (int64_t worker = 0; worker < options_.workers; ++worker) {
    const auto& own = round_[static_cast<size_t>(worker)];
    if (!own && !clock_.has_left(worker)) return;
  }
  for (auto& own : round_) {
    if (own && !own->values.empty()) all.push_back(std::move(*own));
    own.reset();
  }
  if (!all.empty()) apply_(values_, all);
}

bool ParameterServer::answer_pull(const Descriptor& socket, const ServerRequest& request) {
  std::vector<int64_t> rows;
  if (!receive_rows(socket, request.count, rows)) return false;
  ServerStatus status = 0;
  std::vector<double> sent;
  {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kLookForWorker, [&] {
      return failed_ || is_stopping_ || clock_.may_read(request.worker);
    })) {
      if (is_gone(socket)) return false;
    }
    if (is_stopping_) return false;
    if (failed_) {
      status = 1 + *failed_;
    } else if (request.count == ServerRequest::kAllRows) {
      sent = values_;
    } else {
      for (const int64_t row : rows) {
        const auto begin = values_.begin() + row * options_.width;
        sent.insert(sent.end(), begin, begin + options_.width);
      }
    }
  }
  return send_all(socket, &status, sizeof(status)) &&
         send_all(socket, sent.data(), sent.size() * sizeof(double));
}

ParameterClient::ParameterClient(uint16_t port, int64_t worker, const std::string& token)
    : worker_(worker), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  if (!socket_.is_open() || ::connect(socket_.get(), name, sizeof(address)) != 0) {
    throw DistributedError(fmt::format("worker {} can't reach the parameter server at port {}: {}",
                                       worker, port, std::strerror(errno)));
  }
  send_messages_at_once(socket_);
  const ServerRequest hello{.worker = worker, .count = static_cast<int64_t>(token.size())};
  send_all(socket_, &hello, sizeof(hello));
  send_all(socket_, token.data(), token.size());
  ServerStatus status = 0;
  if (receive_all(socket_, &status, sizeof(status))) return;
  throw DistributedError(
      fmt::format("the parameter server at port {} didn't accept worker {}: the server is of "
                  "another run, or has a worker of this number already",
                  port, worker));
}

ParameterClient::~ParameterClient() {
  const ServerRequest leave{.kind = ServerRequest::Kind::leave, .worker = worker_};
  send_all(socket_, &leave, sizeof(leave));
}

void ParameterClient::send(ServerRequest::Kind kind, std::optional<std::span<const int64_t>> rows) {
  const ServerRequest request{
      .kind = kind,
      .worker = worker_,
      .count = rows ? static_cast<int64_t>(rows->size()) : ServerRequest::kAllRows};
  send_all(socket_, &request, sizeof(request));
  if (rows) send_all(socket_, rows->data(), rows->size_bytes());
}

void ParameterClient::receive_status() {
  ServerStatus status = 0;
  if (!receive_all(socket_, &status, sizeof(status))) {
    throw DistributedError(
        fmt::format("worker {} has lost its connection to the parameter server", worker_));
  }
  if (status != 0) {
    throw DistributedError(fmt::format("worker {} of the parameter server has failed", status - 1));
  }
}

void ParameterClient::push(std::span<const double> values,
                           std::optional<std::span<const int64_t>> rows) {
  send(ServerRequest::Kind::push, rows);
  send_all(socket_, values.data(), values.size_bytes());
  receive_status();
}

void ParameterClient::pull(std::span<double> values, std::optional<std::span<const int64_t>> rows) {
  send(ServerRequest::Kind::pull, rows);
  receive_status();
  if (receive_all(socket_, values.data(), values.size_bytes())) return;
  throw DistributedError(
      fmt::format("worker {} has lost its connection to the parameter server", worker_));
}

}  // namespace levin
