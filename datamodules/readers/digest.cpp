#include <levin/datamodules/readers/digest.h>

#include <algorithm>
#include <cctype>

#include <openssl/evp.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/small_letters.h>

namespace levin::readers {
namespace {

constexpr size_t kPiece = size_t{1} << 20;

DigestKind kind_of(const Checksum& checksum) {
  return checksum.hex.size() == 32 ? DigestKind::md5 : DigestKind::sha256;
}

}  // namespace

void Digest::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Digest::Digest(DigestKind kind) : context_(EVP_MD_CTX_new()) {
  const EVP_MD* method = kind == DigestKind::md5 ? EVP_md5() : EVP_sha256();
  if (!context_ || EVP_DigestInit_ex(context_.get(), method, nullptr) != 1) {
    throw DataError(std::string("OpenSSL on this machine doesn't compute ") +
                    (kind == DigestKind::md5 ? "MD5, which FIPS mode turns off; give a SHA-256"
                                             : "SHA-256; check how it is installed"));
  }
}

void Digest::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Digest::hex() {
  unsigned char value[EVP_MAX_MD_SIZE] = {};
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_.get(), value, &size);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[value[i] >> 4];
    text += kDigits[value[i] & 15];
  }
  return text;
}

std::string digest_hex(DigestKind kind, std::span<const std::byte> bytes) {
  Digest digest(kind);
  digest.update(bytes);
  return digest.hex();
}

std::string file_digest_hex(DigestKind kind, const std::filesystem::path& path) {
  const FileSource file(path);
  Digest digest(kind);
  Bytes piece(std::min<uint64_t>(kPiece, file.size()));
  for (uint64_t at = 0; at < file.size(); at += piece.size()) {
    const auto part = std::span(piece).first(std::min<uint64_t>(piece.size(), file.size() - at));
    file.read(at, part);
    digest.update(part);
  }
  return digest.hex();
}

void validate(const Checksum& checksum) {
  const std::string& hex = checksum.hex;
  const bool digits = std::all_of(hex.begin(), hex.end(), [](char c) {
    return std::isxdigit(static_cast<unsigned char>(c)) != 0;
  });
  if (digits && (hex.empty() || hex.size() == 32 || hex.size() == 64)) return;
  throw ConfigError::invalid_value("checksum", hex,
                                   "must be 32 hexadecimal digits (an MD5) or 64 (a SHA-256)");
}

std::optional<std::string> checksum_fault(const std::filesystem::path& path,
                                          const Checksum& checksum) {
  validate(checksum);
  if (checksum.hex.empty()) return {};
  const std::string wanted = to_small_letters(checksum.hex);
  std::string found;
  if (checksum.of_uncompressed) {
    const Bytes bytes = read_file(path);
    found = is_gzip(bytes) ? digest_hex(kind_of(checksum), gunzip(bytes, path.string()))
                           : digest_hex(kind_of(checksum), bytes);
  } else {
    found = file_digest_hex(kind_of(checksum), path);
  }
  if (found == wanted) return {};
  const std::string kind = kind_of(checksum) == DigestKind::md5 ? "MD5" : "SHA-256";
  return (checksum.of_uncompressed ? "the " + kind + " of its uncompressed bytes" : "its " + kind) +
         " is " + found + ", but " + wanted + " was expected";
}

void verify_file(const std::filesystem::path& path, const Checksum& checksum) {
  const auto difference = checksum_fault(path, checksum);
  if (!difference) return;
  throw DataError::corrupt(path.string(), *difference + "; copy or download it again");
}

}  // namespace levin::readers
