#include <levin/serving/load/load_socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/loopback.h>
#include <levin/framework/core/write_signals.h>
#include <levin/serving/load/response_reader.h>

namespace levin {
namespace {

/// The text of the oldest error that OpenSSL noted, and forgets all of them.
std::string tls_problem() {
  const unsigned long code = ::ERR_get_error();  // NOLINT: OpenSSL's type
  ::ERR_clear_error();
  if (code == 0) return "the connection was closed";
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "TLS failed";
}

/// A connection whose operations wait, until a time.
class Waiting {
 public:
  using Progress = LoadSocket::Progress;

  Waiting(const LoadTarget& target, double seconds)
      : target_(target), until_(files::monotonic_seconds() + seconds) {}

  LoadSocket& socket() { return socket_; }
  void connect() {
    for (Progress at; (at = socket_.connect(target_)) != Progress::done;) wait(at);
  }
  void write(std::string_view bytes) {
    for (Progress at; (at = socket_.write(bytes)) != Progress::done;) wait(at);
  }
  void wait(Progress progress) {
    if (progress == Progress::ended) refuse(socket_.problem());
    const short events = progress == Progress::read_first ? POLLIN : POLLOUT;
    pollfd waits{socket_.descriptor(), events, 0};
    const double left = until_ - files::monotonic_seconds();
    if (left <= 0.0) refuse("there was no response in time");
    ::poll(&waits, 1, static_cast<int>(left * 1000.0) + 1);
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const {
    const std::string_view advice =
        why.find("certificate") == std::string_view::npos
            ? "start the server, or check the URL"
            : "name a file of certificates to trust by --ca-file, or trust any by --insecure";
    throw DataError(
        fmt::format("{} can't be reached: {}; {}", target_.server().origin(), why, advice));
  }

  const LoadTarget& target_;
  double until_;
  LoadSocket socket_{};
};

SSL* ssl(void* session) { return static_cast<SSL*>(session); }

}  // namespace

struct LoadTarget::Tls {
  SSL_CTX* context = ::SSL_CTX_new(::TLS_client_method());
  Tls() = default;
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;
  ~Tls() { ::SSL_CTX_free(context); }
};

LoadTarget::LoadTarget(HttpAddress server, const std::string& ca_file, bool is_insecure)
    : server_(std::move(server)), address_(resolve(server_)) {
  if (!server_.is_tls) return;
  tls_ = std::make_unique<Tls>();
  SSL_CTX* const context = tls_->context;
  ::SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (is_insecure) return;
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const int loaded = ca_file.empty()
                         ? ::SSL_CTX_set_default_verify_paths(context)
                         : ::SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr);
  if (loaded != 1) {
    throw ConfigError::invalid_value("--ca-file", fmt::format("'{}'", ca_file),
                                     "it must be a PEM file with certificates: " + tls_problem());
  }
}

LoadTarget::~LoadTarget() = default;

LoadSocket::Progress LoadSocket::fail(std::string why) {
  close();
  problem_ = std::move(why);
  return Progress::ended;
}

void LoadSocket::close() {
  if (session_ != nullptr) ::SSL_free(ssl(session_));
  session_ = nullptr;
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  is_connected_ = false;
}

LoadSocket::Progress LoadSocket::connect(const LoadTarget& target) {
  if (descriptor_ < 0) {
    const auto& to = target.address_;
    descriptor_ = ::socket(to.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor_ < 0) return fail(std::strerror(errno));
    const int on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    is_connected_ =
        ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&to.address), to.size) == 0;
    if (!is_connected_ && errno != EINPROGRESS) return fail(std::strerror(errno));
    unpace_loopback(descriptor_);
    if (!is_connected_) return Progress::write_first;
  }
  if (!is_connected_) {
    pollfd waits{descriptor_, POLLOUT, 0};
    if (::poll(&waits, 1, 0) == 0) return Progress::write_first;
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return fail(std::strerror(error));
    is_connected_ = true;
  }
  return target.tls_ == nullptr ? Progress::done : connect_tls(target);
}

LoadSocket::Progress LoadSocket::connect_tls(const LoadTarget& target) {
  if (session_ == nullptr) {
    session_ = ::SSL_new(target.tls_->context);
    if (session_ == nullptr || ::SSL_set_fd(ssl(session_), descriptor_) != 1) {
      return fail(tls_problem());
    }
    const char* const host = target.server_.host.c_str();
    X509_VERIFY_PARAM* const checks = ::SSL_get0_param(ssl(session_));
    if (::X509_VERIFY_PARAM_set1_ip_asc(checks, host) != 1) {  // it is a name
      ::ERR_clear_error();
      ::SSL_set1_host(ssl(session_), host);
      ::SSL_set_tlsext_host_name(ssl(session_), host);
    }
  }
  const int result = ::SSL_connect(ssl(session_));
  return result == 1 ? Progress::done : after_tls(result);
}

LoadSocket::Progress LoadSocket::after_tls(int result) {
  const int error = ::SSL_get_error(ssl(session_), result);
  if (error == SSL_ERROR_WANT_READ) return Progress::read_first;
  if (error == SSL_ERROR_WANT_WRITE) return Progress::write_first;
  if (error == SSL_ERROR_ZERO_RETURN) return fail("the server closed the connection");
  return fail(tls_problem());
}

LoadSocket::Progress LoadSocket::write(std::string_view& bytes) {
  while (!bytes.empty()) {
    if (session_ != nullptr) {
      size_t sent = 0;
      const int result = ::SSL_write_ex(ssl(session_), bytes.data(), bytes.size(), &sent);
      if (result != 1) return after_tls(result);
      bytes.remove_prefix(sent);
      continue;
    }
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      return Progress::write_first;
    } else if (errno != EINTR) {
      return fail(std::strerror(errno));
    }
  }
  return Progress::done;
}

LoadSocket::Progress LoadSocket::read(char* buffer, size_t size, size_t& count) {
  count = 0;
  while (count < size) {
    if (session_ != nullptr) {
      size_t got = 0;
      const int result = ::SSL_read_ex(ssl(session_), buffer + count, size - count, &got);
      if (result != 1) return after_tls(result);
      count += got;
      continue;
    }
    const ssize_t got = ::recv(descriptor_, buffer, size, 0);
    if (got > 0) {
      count = static_cast<size_t>(got);
      return count == size ? Progress::done : Progress::read_first;
    }
    if (got == 0) return fail("the server closed the connection");
    if (errno == EAGAIN) return Progress::read_first;
    if (errno != EINTR) return fail(std::strerror(errno));
  }
  return Progress::done;
}

void require_server(const LoadTarget& target, double seconds) {
  Waiting(target, seconds).connect();
}

FetchedResponse fetch(const LoadTarget& target, std::string_view request, double seconds) {
  const NoWriteSignals signals;  // OpenSSL writes without MSG_NOSIGNAL
  Waiting connection(target, seconds);
  connection.connect();
  connection.write(request);
  ResponseReader reader(true);
  std::string buffer(size_t{64} << 10, '\0');
  while (true) {
    size_t count = 0;
    const auto progress = connection.socket().read(buffer.data(), buffer.size(), count);
    std::string_view bytes(buffer.data(), count);
    auto response = reader.take(bytes);
    if (!response && progress == LoadSocket::Progress::ended) response = reader.end();
    if (response) return {response->status, reader.body()};
    if (progress != LoadSocket::Progress::done) connection.wait(progress);
  }
}

}  // namespace levin
