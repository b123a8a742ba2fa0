#include <levin/serving/http/tls_context.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// Chooses http/1.1 if the client offers it, otherwise lets it try.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (::SSL_select_next_proto(&chosen, size, kHttp11, sizeof kHttp11 - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/// What reading a file says, if it can't be read; OpenSSL only says what isn't right in it.
std::string reading_problem(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  if (file.get() != std::ifstream::traits_type::eof()) return {};
  return errno != 0 ? std::strerror(errno) : "it is empty";
}

std::string problem_of(const std::string& path, const boost::system::error_code& error) {
  const auto problem = reading_problem(path);
  return problem.empty() ? error.message() : problem;
}

}  // namespace

std::unique_ptr<boost::asio::ssl::context> make_tls_context(const std::string& certificate,
                                                            const std::string& key) {
  namespace ssl = boost::asio::ssl;
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  ::SSL_CTX_set_options(
      native, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_cipher_list(native, "ECDHE+AESGCM:ECDHE+CHACHA20");
  ::SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  boost::system::error_code error;
  context->use_certificate_chain_file(certificate, error);
  if (error) {
    throw ConfigError(
        fmt::format("tls_certificate = '{}' can't be used: {}; it must be a PEM file with the "
                    "certificate of the server, followed by those that signed it",
                    certificate, problem_of(certificate, error)));
  }
  context->use_private_key_file(key, ssl::context::pem, error);
  if (error || ::SSL_CTX_check_private_key(native) != 1) {
    throw ConfigError(fmt::format(
        "tls_key = '{}' can't be used: {}; it must be a PEM file with the private key that belongs "
        "to '{}'",
        key, error ? problem_of(key, error) : "it belongs to another certificate", certificate));
  }
  return context;
}

}  // namespace levin
