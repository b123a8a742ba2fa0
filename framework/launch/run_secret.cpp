#include <levin/framework/launch/run_secret.h>

#include <cstdlib>
#include <memory>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kSealTagBytes = 16;
constexpr size_t kSealKeyBytes = 32;
constexpr size_t kProofDigits = 32;

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

unsigned char* cipher_buffer(std::string& text, size_t at) {
  return reinterpret_cast<unsigned char*>(text.data()) + at;
}
const unsigned char* cipher_bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
int cipher_size(std::string_view text) { return static_cast<int>(text.size()); }

[[noreturn]] void fail_openssl(std::string_view what) {
  // Levin's launcher sets the variable for its ranks even if the user hasn't set it.
  const bool is_the_users =
      std::getenv("LEVIN_RUN_SECRET") != nullptr && std::getenv("LEVIN_LAUNCHED") == nullptr;
  throw DistributedError("OpenSSL can't " + std::string(what) + "; check how it is installed" +
                         (is_the_users ? ", or unset LEVIN_RUN_SECRET" : ""));
}

/// HMAC-SHA256, 32 bytes.
std::string hmac_of(std::string_view key, std::string_view text) {
  std::string result(kSealKeyBytes, '\0');
  unsigned int size = 0;
  if (::HMAC(EVP_sha256(), key.data(), cipher_size(key), cipher_bytes(text), text.size(),
             cipher_buffer(result, 0), &size) == nullptr ||
      size != kSealKeyBytes) {
    fail_openssl("compute HMAC-SHA256");
  }
  return result;
}

std::string proof_digits(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  for (const char byte : bytes) {
    digits += kDigits[static_cast<unsigned char>(byte) >> 4];
    digits += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return digits;
}

}  // namespace

RunSecret::RunSecret(std::string_view text)
    : key_(text.empty() ? std::string() : hmac_of(text, "levin store")) {}

std::string RunSecret::seal(std::string_view key, std::string_view value) const {
  if (!is_set()) return std::string(value);
  std::string sealed(kNonceBytes + kSealTagBytes + value.size(), '\0');
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool is_done =
      cipher != nullptr && RAND_bytes(cipher_buffer(sealed, 0), kNonceBytes) == 1 &&
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, cipher_bytes(key_),
                         cipher_bytes(sealed)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, cipher_bytes(key), cipher_size(key)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), cipher_buffer(sealed, kNonceBytes + kSealTagBytes), &size,
                        cipher_bytes(value), cipher_size(value)) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), cipher_buffer(sealed, sealed.size()), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kSealTagBytes,
                          cipher_buffer(sealed, kNonceBytes)) == 1;
  if (!is_done) fail_openssl("encrypt by AES-256-GCM");
  return sealed;
}

std::optional<std::string> RunSecret::open(std::string_view key, std::string_view sealed) const {
  if (!is_set()) return std::string(sealed);
  if (sealed.size() < kNonceBytes + kSealTagBytes) return std::nullopt;
  std::string tag(sealed.substr(kNonceBytes, kSealTagBytes));
  const std::string_view hidden = sealed.substr(kNonceBytes + kSealTagBytes);
  std::string value(hidden.size(), '\0');
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool is_done =
      cipher != nullptr &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, cipher_bytes(key_),
                         cipher_bytes(sealed)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, cipher_bytes(key), cipher_size(key)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), cipher_buffer(value, 0), &size, cipher_bytes(hidden),
                        cipher_size(hidden)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kSealTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), cipher_buffer(value, value.size()), &size) == 1;
  if (!is_done) return std::nullopt;
  return value;
}

std::string RunSecret::proof(std::string_view text) const {
  if (!is_set()) return std::string(text);
  return proof_digits(hmac_of(key_, text)).substr(0, kProofDigits);
}

std::string random_secret() {
  std::string bytes(kProofDigits / 2, '\0');
  if (RAND_bytes(cipher_buffer(bytes, 0), cipher_size(bytes)) != 1)
    fail_openssl("make random bytes");
  return proof_digits(bytes);
}

}  // namespace levin
