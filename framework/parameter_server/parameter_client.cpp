#include <levin/framework/parameter_server/parameter_client.h>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr double kConnectSeconds = 60.0;
constexpr size_t kMostMovedPieces = 64;

/// Sends or receives as much of the pieces as goes without waiting, and takes it off them. Returns
/// the bytes; nothing if the other side is gone.
std::optional<size_t> move_some(const Descriptor& socket, std::vector<iovec>& pieces,
                                bool is_sending) {
  size_t total = 0;
  std::span<iovec> left = without(pieces, 0);
  while (!left.empty()) {
    msghdr message{};
    message.msg_iov = left.data();
    message.msg_iovlen = std::min(left.size(), kMostMovedPieces);
    const ssize_t moved = is_sending
                              ? ::sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT)
                              : ::recvmsg(socket.get(), &message, MSG_DONTWAIT);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (moved <= 0) return std::nullopt;
    total += static_cast<size_t>(moved);
    left = without(left, static_cast<size_t>(moved));
  }
  pieces.erase(pieces.begin(), pieces.end() - static_cast<std::ptrdiff_t>(left.size()));
  return total;
}

}  // namespace

std::vector<int64_t> divided_rows(int64_t rows, int64_t servers) {
  std::vector<int64_t> first = {0};
  for (int64_t i = 0; i < servers; ++i) {
    first.push_back(first.back() + rows / servers + (i < rows % servers ? 1 : 0));
  }
  return first;
}

ParameterClient::ParameterClient(const std::vector<ServerAddress>& servers, int64_t worker,
                                 const std::string& token)
    : worker_(worker), exceptions_(std::uncaught_exceptions()), servers_(servers.size()) {
  if (servers.empty()) {
    throw ConfigError::invalid_value("servers", "[]", "must have the address of a server");
  }
  for (size_t i = 0; i < servers.size(); ++i) {
    servers_[i].address = servers[i];
    join(servers_[i], i, token);
    first_rows_.push_back(first_rows_.back() + servers_[i].description.rows);
  }
  clocks_.resize(static_cast<size_t>(workers()));
}

void ParameterClient::join(Server& server, size_t number, const std::string& token) {
  server.socket = connect_to(server.address, kConnectSeconds);
  ServerRequest hello{.worker = worker_, .count = static_cast<int64_t>(token.size())};
  std::vector<iovec> pieces = {piece_of(&hello, sizeof(hello)),
                               piece_of(token.data(), token.size())};
  send_all(server.socket, pieces);
  bytes_sent_ += sizeof(hello) + token.size();
  bytes_received_ += sizeof(server.description);
  auto& own = server.description;
  if (!receive_all(server.socket, &own, sizeof(own))) {
    throw DistributedError(
        fmt::format("the parameter server at {} didn't accept worker {}: the server is of another "
                    "run, or has a worker of this number already",
                    server.address.text(), worker_));
  }
  const auto& first = servers_.front().description;
  if (!is_valid(own) || own.server != static_cast<int64_t>(number) ||
      own.servers != static_cast<int64_t>(servers_.size()) || own.type != first.type ||
      own.workers != first.workers || own.width != first.width) {
    throw DistributedError(fmt::format(
        "the parameter server at {} is number {} of {}, for {} workers, with {} numbers a row of "
        "{} bytes each; it should be number {} of {}, and the rest as of the first one",
        server.address.text(), own.server, own.servers, own.workers, own.width, own.type, number,
        servers_.size()));
  }
}

ParameterClient::~ParameterClient() {
  if (std::uncaught_exceptions() <= exceptions_) leave();
}

void ParameterClient::leave() {
  if (std::exchange(has_left_, true)) return;
  const ServerRequest request{.kind = ServerRequest::Kind::leave, .worker = worker_};
  for (auto& server : servers_) {
    if (server.socket.is_open()) send_all(server.socket, &request, sizeof(request));
  }
}

/// Gives each server its part of a request.
void ParameterClient::divide(const ServerRows& rows, ServerRequest::Kind kind, size_t values,
                             ServerType type) {
  if (!failure_.empty()) throw DistributedError(failure_);
  const int64_t count = rows.is_all() ? this->rows() : rows.count();
  const bool is_known = rows.is_all() || rows.is_list() ||
                        (rows.first() >= 0 && count >= 0 && rows.first() <= this->rows() - count);
  if (!is_known) {
    throw ConfigError::invalid_value("rows", fmt::format("{} from {}", count, rows.first()),
                                     fmt::format("must be among the {} rows of the parameter "
                                                 "servers",
                                                 this->rows()));
  }
  if (values != static_cast<size_t>(count * width()) || (values > 0 && type != this->type())) {
    throw ConfigError::invalid_value(
        "values", fmt::format("{} numbers of {} bytes", values, static_cast<int>(type)),
        fmt::format("must be rows * width = {} numbers of {} bytes", count * width(),
                    static_cast<int>(this->type())));
  }
  for (auto& server : servers_) {
    server.rows.clear();
    server.to_send.clear();
    server.to_receive.clear();
    server.answer = {};
    server.request = {.kind = kind, .worker = worker_, .is_list = rows.is_list() ? 1 : 0};
  }
  rows.is_list() ? divide_list(rows.list()) : divide_slice(rows.is_all() ? 0 : rows.first(), count);
}

void ParameterClient::divide_list(std::span<const int64_t> rows) {
  int64_t before = -1;
  for (const int64_t row : rows) {
    if (row <= std::exchange(before, row) || row >= this->rows()) {
      throw ConfigError::invalid_value(
          "rows", fmt::to_string(row),
          fmt::format("must ascend, and be less than the {} rows of the parameter servers",
                      this->rows()));
    }
  }
  auto next = rows.begin();
  for (size_t i = 0; i < servers_.size(); ++i) {
    auto& server = servers_[i];
    const auto end = std::lower_bound(next, rows.end(), first_rows_[i + 1]);
    server.first_value = static_cast<size_t>((next - rows.begin()) * width());
    server.rows.assign(next, end);
    for (auto& row : server.rows) row -= first_rows_[i];
    server.request.count = end - next;
    next = end;
  }
}

void ParameterClient::divide_slice(int64_t first, int64_t count) {
  for (size_t i = 0; i < servers_.size(); ++i) {
    auto& server = servers_[i];
    const int64_t begin = std::clamp(first, first_rows_[i], first_rows_[i + 1]);
    const int64_t end = std::clamp(first + count, begin, first_rows_[i + 1]);
    server.first_value = static_cast<size_t>(std::max<int64_t>(begin - first, 0) * width());
    server.request.first = begin - first_rows_[i];
    server.request.count = end - begin;
  }
}

size_t ParameterClient::values_of(const Server& server) const {
  return static_cast<size_t>(server.request.count * width());
}

/// Adds what comes before the values of a request.
void ParameterClient::add_head(Server& server) {
  server.to_send.push_back(piece_of(&server.request, sizeof(server.request)));
  if (server.description.server > 0) {
    server.to_send.push_back(piece_of(clocks_.data(), clocks_.size() * sizeof(int64_t)));
  }
  server.to_send.push_back(piece_of(server.rows.data(), server.rows.size() * sizeof(int64_t)));
}

void ParameterClient::push(ConstServerSpan values, const ServerRows& rows, const Beside& beside) {
  const bool is_single = servers_.size() == 1;
  divide(rows, is_single ? ServerRequest::Kind::push : ServerRequest::Kind::stage, values.size(),
         values.type());
  for (auto& server : servers_) {
    server.request.weight = beside.weight;
    server.request.flags = beside.flags;
    add_head(server);
    const auto part = values.part(server.first_value, values_of(server));
    server.to_send.push_back(piece_of(part.data(), part.bytes()));
    server.to_receive.push_back(piece_of(&server.answer, sizeof(server.answer)));
  }
  exchange(servers_);
  check_answers(servers_);
  if (is_single) return;
  auto& first = servers_.front();
  first.request = {.kind = ServerRequest::Kind::commit, .worker = worker_};
  first.to_send = {piece_of(&first.request, sizeof(first.request))};
  first.to_receive = {piece_of(&first.answer, sizeof(first.answer)),
                      piece_of(clocks_.data(), clocks_.size() * sizeof(int64_t))};
  exchange({&first, 1});
  check_answers({&first, 1});
}

ServerAnswer ParameterClient::pull(ServerSpan values, const ServerRows& rows) {
  divide(rows, ServerRequest::Kind::pull, values.size(), values.type());
  auto& first = servers_.front();
  const std::span<Server> others = std::span(servers_).subspan(1);
  add_head(first);
  first.to_receive = {piece_of(&first.answer, sizeof(first.answer))};
  if (!others.empty()) {
    first.to_receive.push_back(piece_of(clocks_.data(), clocks_.size() * sizeof(int64_t)));
  }
  exchange({&first, 1});
  check_answers({&first, 1});
  for (auto& server : servers_) {
    if (&server != &first) {
      add_head(server);
      server.to_receive.push_back(piece_of(&server.answer, sizeof(server.answer)));
    }
    const auto part = values.part(server.first_value, values_of(server));
    server.to_receive.push_back(piece_of(part.data(), part.bytes()));
  }
  exchange(servers_);
  check_answers(others);
  return first.answer;
}

/// Sends and receives what a single server has to do. Waits in the calls that send and receive, so
/// that no others are needed to wait.
void ParameterClient::exchange_with_one(Server& server) {
  for (const auto& piece : server.to_send) bytes_sent_ += piece.iov_len;
  // What the server has said before it closed the connection is still to be read.
  send_all(server.socket, server.to_send);
  server.to_send.clear();
  const auto pieces = std::exchange(server.to_receive, {});
  for (const auto& piece : pieces) {
    if (server.answer.status != 0) return;
    if (!receive_all(server.socket, piece.iov_base, piece.iov_len)) fail_of(0);
    bytes_received_ += piece.iov_len;
  }
}

/// Sends and receives what the servers have to do, all at the same time.
void ParameterClient::exchange(std::span<Server> servers) {
  if (servers_.size() == 1) return exchange_with_one(servers_.front());
  std::vector<pollfd> waits(servers_.size());
  for (;;) {
    bool is_done = true;
    for (auto& server : servers) {
      const auto number = static_cast<size_t>(&server - servers_.data());
      for (const bool is_sending : {true, false}) {
        auto& pieces = is_sending ? server.to_send : server.to_receive;
        const auto moved = move_some(server.socket, pieces, is_sending);
        // What the server has said before it closed the connection is still to be read.
        if (!moved && is_sending) pieces.clear();
        if (!moved && !is_sending) fail_of(number);
        (is_sending ? bytes_sent_ : bytes_received_) += moved.value_or(0);
      }
      // A server that has said that somebody failed sends nothing else.
      if (server.answer.status != 0) {
        server.to_send.clear();
        server.to_receive.clear();
      }
      is_done = is_done && server.to_send.empty() && server.to_receive.empty();
    }
    if (is_done) return;
    // A server that has nothing to do here may end, and others then never answer.
    for (size_t i = 0; i < servers_.size(); ++i) {
      const auto& server = servers_[i];
      const int receives = server.to_receive.empty() ? POLLRDHUP : POLLIN;
      const int sends = server.to_send.empty() ? 0 : POLLOUT;
      waits[i] = {server.socket.get(), static_cast<short>(receives | sends), 0};
    }
    if (::poll(waits.data(), waits.size(), -1) < 0) continue;
    for (size_t i = 0; i < servers_.size(); ++i) {
      const bool is_idle = servers_[i].to_receive.empty() && servers_[i].to_send.empty();
      if (is_idle && (waits[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) fail_of(i);
    }
  }
}

/// Tells all servers that can take it now why this worker fails, so that others give that reason.
void ParameterClient::report(int64_t status) {
  const ServerRequest request{
      .kind = ServerRequest::Kind::report, .worker = worker_, .first = status};
  for (auto& server : servers_) {
    if (!server.to_send.empty()) continue;  // in the middle of a request
    ::send(server.socket.get(), &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

void ParameterClient::fail_of(size_t server) {
  report(-1 - static_cast<int64_t>(server));
  fail(fmt::format("worker {} has lost its connection to the parameter server {} at {}", worker_,
                   server, servers_[server].address.text()));
}

void ParameterClient::fail(std::string message) {
  failure_ = std::move(message);
  throw DistributedError(failure_);
}

void ParameterClient::check_answers(std::span<const Server> servers) {
  for (const auto& server : servers) {
    const int64_t status = server.answer.status;
    if (status == 0) continue;
    report(status);
    if (status > 0) fail(fmt::format("worker {} of the parameter server has failed", status - 1));
    fail(
        fmt::format("worker {} stops, because another one has lost its connection to the parameter "
                    "server {}",
                    worker_, -1 - status));
  }
}

}  // namespace levin
