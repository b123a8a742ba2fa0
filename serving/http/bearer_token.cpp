#include <levin/serving/http/bearer_token.h>

#include <cctype>

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace levin {
namespace {

std::string sha256_of(std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace

BearerToken::BearerToken(std::string_view token)
    : digest_(token.empty() ? std::string() : sha256_of(token)) {}

bool BearerToken::admits(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() < kScheme.size()) return false;
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(authorization[i])) != kScheme[i]) return false;
  }
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  // Digests have one length, so not even that of the token shows.
  const std::string given = sha256_of(authorization);
  return ::CRYPTO_memcmp(given.data(), digest_.data(), digest_.size()) == 0;
}

}  // namespace levin
