#include <levin/serving/http/tls_context.h>

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
                    certificate, error.message()));
  }
  context->use_private_key_file(key, ssl::context::pem, error);
  if (error || ::SSL_CTX_check_private_key(native) != 1) {
    throw ConfigError(fmt::format(
        "tls_key = '{}' can't be used: {}; it must be a PEM file with the private key that belongs "
        "to '{}'",
        key, error ? error.message() : "it belongs to another certificate", certificate));
  }
  return context;
}

}  // namespace levin
