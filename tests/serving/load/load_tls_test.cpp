#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>
#include <levin/serving/http/http_server.h>
#include <levin/serving/load/load_generator.h>

#include "framework/temporary_folder.h"

namespace levin::load_tls_test {

/// Writes a private key and a certificate of its own for 127.0.0.1.
void write_certificate(const std::filesystem::path& certificate, const std::filesystem::path& key) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair(EVP_EC_gen("P-256"),
                                                                 &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), &X509_free);
  X509* const x509 = made.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
  X509_set_pubkey(x509, pair.get());
  X509_NAME* const name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  X509_EXTENSION* const address =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
  X509_add_ext(x509, address, -1);
  X509_EXTENSION_free(address);
  X509_sign(x509, pair.get(), EVP_sha256());
  std::FILE* file = std::fopen(certificate.c_str(), "w");
  PEM_write_X509(file, x509);
  std::fclose(file);
  file = std::fopen(key.c_str(), "w");
  PEM_write_PrivateKey(file, pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
}

TEST(LoadTls, https_is_loaded_if_its_certificate_is_trusted) {
  const test::TemporaryFolder folder;
  write_certificate(folder / "cert.pem", folder / "key.pem");
  std::atomic<int64_t> asked{0};
  HttpServer server({.port = 0,
                     .tls_certificate = (folder / "cert.pem").string(),
                     .tls_key = (folder / "key.pem").string()},
                    [&](HttpRequest request, HttpReply reply) {
                      asked += request.body.size() == 50000 ? 1 : 0;
                      reply({.body = std::string(20000, 'x')});
                    });
  const std::string port = std::to_string(server.port());
  const HttpAddress address = parse_server_address("https://127.0.0.1:" + port);
  const LoadPlan plan{.requests = {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" +
                                   std::string(50000, 'y')},
                      .connections = 3,
                      .warmup = 0.0,
                      .seconds = 0.2,
                      .timeout = 60.0};
  const LoadTarget trusting(address, (folder / "cert.pem").string(), false);
  const LoadResult result = run_load(trusting, plan);
  EXPECT_GT(result.answered, 5);
  EXPECT_EQ(result.answered, result.requests);
  EXPECT_EQ(result.answered, asked);
  EXPECT_EQ(result.reconnects, 0);

  EXPECT_EQ(fetch(LoadTarget(address, "", true), "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 60.0).status,
            200);
  try {
    run_load(LoadTarget(address, "", false), plan);
    FAIL() << "a certificate that nobody has signed was trusted";
  } catch (const DataError& error) {
    for (const char* part : {"certificate verify failed", "--ca-file"}) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(LoadTarget(address, (folder / "none.pem").string(), false), ConfigError);
  const HttpAddress other = parse_server_address("https://localhost:" + port);
  EXPECT_THROW(run_load(LoadTarget(other, (folder / "cert.pem").string(), false), plan), DataError)
      << "the certificate is for 127.0.0.1";
}

}  // namespace levin::load_tls_test
