#include <levin/framework/parameter_server/server_wire.h>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

namespace levin {
namespace {

constexpr int64_t kMostToken = 64;
constexpr int64_t kMostWorkers = int64_t{1} << 20;
constexpr int64_t kMostBytes = int64_t{1} << 60;
constexpr size_t kMostPieces = 64;

bool has_valid_rows(const ServerRequest& request, int64_t rows) {
  if (request.count < 0 || request.count > rows) return false;
  if (request.is_list == 1) return request.first == 0;
  return request.is_list == 0 && request.first >= 0 && request.first <= rows - request.count;
}

bool has_valid_numbers(const ServerRequest& request) {
  return std::isfinite(request.weight) && request.weight >= 0.0 &&
         std::none_of(request.flags.begin(), request.flags.end(),
                      [](double flag) { return std::isnan(flag); });
}

}  // namespace

bool is_valid(const ServerRequest& request, const ServerDescription& server, bool is_known) {
  using Kind = ServerRequest::Kind;
  if (request.magic != ServerRequest::kMagic) return false;
  if (request.worker < 0 || request.worker >= server.workers) return false;
  if (!has_valid_numbers(request)) return false;
  if (request.kind == Kind::hello) {
    return !is_known && request.count >= 0 && request.count <= kMostToken;
  }
  if (!is_known) return false;
  const bool is_single = server.servers == 1;
  switch (request.kind) {
    case Kind::push:
      return is_single && has_valid_rows(request, server.rows);
    case Kind::stage:
      return !is_single && has_valid_rows(request, server.rows);
    case Kind::pull:
      return has_valid_rows(request, server.rows);
    case Kind::commit:
      return !is_single && server.server == 0 && request.count == 0;
    case Kind::report:
      return request.count == 0 && request.first != 0 && request.first <= server.workers &&
             request.first >= -server.servers;
    case Kind::leave:
      return request.count == 0;
    default:
      return false;
  }
}

bool is_valid(const ServerDescription& server) {
  if (server.type != 4 && server.type != 8) return false;
  if (server.workers < 1 || server.workers > kMostWorkers) return false;
  if (server.server < 0 || server.server >= server.servers) return false;
  if (server.rows < 0 || server.width < 1) return false;
  return server.rows <= kMostBytes / server.type / server.width;
}

bool receive_all(const Descriptor& socket, void* to, size_t bytes) {
  for (auto* at = static_cast<char*>(to); bytes > 0;) {
    const ssize_t got = ::recv(socket.get(), at, bytes, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

bool send_all(const Descriptor& socket, const void* from, size_t bytes) {
  iovec piece = piece_of(from, bytes);
  return send_all(socket, {&piece, 1});
}

bool send_all(const Descriptor& socket, std::span<iovec> pieces) {
  for (pieces = without(pieces, 0); !pieces.empty();) {
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = std::min(pieces.size(), kMostPieces);
    const ssize_t sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    pieces = without(pieces, static_cast<size_t>(sent));
  }
  return true;
}

std::span<iovec> without(std::span<iovec> pieces, size_t bytes) {
  while (!pieces.empty() && bytes >= pieces.front().iov_len) {
    bytes -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (!pieces.empty()) {
    auto& front = pieces.front();
    front.iov_base = static_cast<char*>(front.iov_base) + bytes;
    front.iov_len -= bytes;
  }
  return pieces;
}

}  // namespace levin
