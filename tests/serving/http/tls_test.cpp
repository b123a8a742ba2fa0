#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/serving/http/http_server.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"
#include "serving/http/raw_client.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace levin::tls_test {
namespace {

using test::eventually;
using test::get_request;
using test::message_of;
using test::post_request;
using test::RawClient;
using test::says;

template <class T, void (*free)(T*)>
struct FreedBy {
  void operator()(T* object) const { free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, FreedBy<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, FreedBy<X509, X509_free>>;
using Context = std::unique_ptr<SSL_CTX, FreedBy<SSL_CTX, SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, FreedBy<SSL, SSL_free>>;

/// Writes a new key and a certificate for "localhost" that it has signed itself.
void write_certificate(const std::string& certificate_path, const std::string& key_path) {
  const Key key(::EVP_EC_gen("P-256"));
  const Certificate certificate(::X509_new());
  X509* const x509 = certificate.get();
  ::X509_set_version(x509, 2);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(x509), 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(x509), -3600);
  ::X509_gmtime_adj(::X509_getm_notAfter(x509), 3600);
  ::X509_set_pubkey(x509, key.get());
  X509_NAME* const name = ::X509_get_subject_name(x509);
  ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  ::X509_set_issuer_name(x509, name);
  ASSERT_GT(::X509_sign(x509, key.get(), ::EVP_sha256()), 0);
  std::FILE* file = std::fopen(certificate_path.c_str(), "w");
  ASSERT_EQ(::PEM_write_X509(file, x509), 1);
  std::fclose(file);
  file = std::fopen(key_path.c_str(), "w");
  ASSERT_EQ(::PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  std::fclose(file);
}

/// A TLS connection over that of a RawClient; `version`: the newest that it offers.
class TlsClient {
 public:
  TlsClient(int64_t port, const std::string& trusted, int version = TLS1_3_VERSION)
      : raw_(port), context_(::SSL_CTX_new(::TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_.get(), version);
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    ::SSL_CTX_set_security_level(context_.get(), 0);
    ::SSL_CTX_load_verify_locations(context_.get(), trusted.c_str(), nullptr);
    ::SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    session_.reset(::SSL_new(context_.get()));
    ::SSL_set_fd(session_.get(), raw_.descriptor());
    connected_ = ::SSL_connect(session_.get()) == 1;
  }

  bool connected() const { return connected_; }
  std::string version() const { return ::SSL_get_version(session_.get()); }

  bool send(std::string_view text) {
    return ::SSL_write(session_.get(), text.data(), static_cast<int>(text.size())) ==
           static_cast<int>(text.size());
  }

  /// Reads until `text` ends with `end` or nothing more comes.
  std::string read_until(std::string_view end) {
    std::string text;
    while (!text.ends_with(end)) {
      char buffer[16384];
      const int got = ::SSL_read(session_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      text.append(buffer, static_cast<size_t>(got));
    }
    return text;
  }

  /// Whether the server has said, by TLS's own means, that nothing follows.
  bool ended() {
    char byte = 0;
    return ::SSL_read(session_.get(), &byte, 1) <= 0 &&
           ::SSL_get_error(session_.get(), 0) == SSL_ERROR_ZERO_RETURN;
  }

 private:
  RawClient raw_;
  Context context_;
  Session session_{};
  bool connected_ = false;
};

class Tls : public testing::Test {
 protected:
  void SetUp() override { write_certificate(certificate_, key_); }

  HttpOptions options() const {
    HttpOptions options;
    options.port = 0;
    options.read_timeout = options.write_timeout = options.idle_timeout = 3600;
    options.tls_certificate = certificate_;
    options.tls_key = key_;
    return options;
  }

  static void echo(HttpRequest request, const HttpReply& reply) {
    HttpResponse response;
    response.body = std::move(request.body) + "!";
    reply(std::move(response));
  }

  test::TemporaryFolder folder_{};
  std::string certificate_ = folder_ / "certificate.pem";
  std::string key_ = folder_ / "key.pem";
};

TEST_F(Tls, ServesNewVersionsOnly) {
  HttpServer server(options(), echo);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), certificate_, version);
    ASSERT_TRUE(client.connected());
    EXPECT_EQ(client.version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(client.send(post_request("/", "hello")));
      EXPECT_TRUE(client.read_until("hello!").starts_with("HTTP/1.1 200 OK\r\n"));
    }
    const std::string large(size_t{1} << 20, 'l');
    ASSERT_TRUE(client.send(post_request("/", large, "Connection: close\r\n")));
    EXPECT_GT(client.read_until("!").size(), large.size());
    EXPECT_TRUE(client.ended());
  }
  TlsClient old(server.port(), certificate_, TLS1_1_VERSION);
  EXPECT_FALSE(old.connected());
  RawClient plain(server.port());
  plain.send(get_request("/"));
  EXPECT_EQ(plain.response().status, 0);
  EXPECT_TRUE(eventually([&] { return server.connections() == 0; }));
}

TEST_F(Tls, LimitsHoldThere) {
  auto limited = options();
  limited.read_timeout = 0.2;
  limited.max_body = 1000;
  limited.token = "secret";
  HttpServer server(limited, echo);
  RawClient silent(server.port());  // it begins no handshake
  EXPECT_TRUE(silent.ended());
  {
    TlsClient client(server.port(), certificate_);
    ASSERT_TRUE(client.connected());
    ASSERT_TRUE(client.send("GET / HT"));
    EXPECT_TRUE(client.read_until("}").starts_with("HTTP/1.1 408 ")) << "it comes too slowly";
  }
  {
    TlsClient client(server.port(), certificate_);
    ASSERT_TRUE(client.send(post_request("/", "")));
    EXPECT_TRUE(client.read_until("}").starts_with("HTTP/1.1 401 "));
    ASSERT_TRUE(client.send(post_request("/", std::string(1001, 'b'))));
    EXPECT_TRUE(client.read_until("}").starts_with("HTTP/1.1 413 "));
  }
  EXPECT_TRUE(server.drain(test::kHangSeconds));
}

TEST_F(Tls, SaysWhichFileCantBeUsed) {
  auto wrong = options();
  wrong.tls_key = "";
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer server(wrong, echo); }),
                   {"only one of tls_certificate and tls_key"}));
  wrong = options();
  wrong.tls_certificate = folder_ / "none.pem";
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer server(wrong, echo); }),
                   {"none.pem' can't be used: No such file", "PEM file with the certificate"}));
  wrong = options();
  wrong.tls_key = certificate_;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer server(wrong, echo); }),
                   {"tls_key = '" + certificate_, "private key"}));
  wrong = options();
  wrong.tls_key = folder_ / "other_key.pem";
  write_certificate(folder_ / "other.pem", wrong.tls_key);
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer server(wrong, echo); }),
                   {"other_key.pem", "belongs"}));
}

}  // namespace
}  // namespace levin::tls_test
