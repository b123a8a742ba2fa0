#include <levin/framework/parameter_server/server_wire.h>

#include <sys/socket.h>

#include <cerrno>

namespace levin {
namespace {

constexpr int64_t kMostToken = 64;

}  // namespace

bool is_valid(const ServerRequest& request, int64_t workers, int64_t rows, bool is_known) {
  if (request.magic != ServerRequest::kMagic) return false;
  if (request.worker < 0 || request.worker >= workers) return false;
  switch (request.kind) {
    case ServerRequest::Kind::hello:
      return !is_known && request.count >= 0 && request.count <= kMostToken;
    case ServerRequest::Kind::push:
    case ServerRequest::Kind::pull:
      return is_known && request.count >= ServerRequest::kAllRows && request.count <= rows;
    case ServerRequest::Kind::leave:
      return is_known && request.count == 0;
  }
  return false;
}

bool receive_all(const Descriptor& socket, void* to, size_t bytes) {
  for (auto* at = static_cast<char*>(to); bytes > 0;) {
    const ssize_t got = ::recv(socket.get(), at, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

bool send_all(const Descriptor& socket, const void* from, size_t bytes) {
  for (const auto* at = static_cast<const char*>(from); bytes > 0;) {
    const ssize_t sent = ::send(socket.get(), at, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace levin
