#include <levin/datamodules/readers/digest.h>

#include <algorithm>
#include <cctype>

#include <openssl/evp.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/error.h>

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
    throw DataError::bad_value("the kind of checksum", kind == DigestKind::md5 ? "MD5" : "SHA-256",
                               "OpenSSL", "this machine's doesn't offer it (FIPS mode has no MD5)");
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
  throw ConfigError::invalid_value(
      "checksum", hex, "must be the hexadecimal digits of an MD5 (32) or a SHA-256 (64)");
}

void verify_file(const std::filesystem::path& path, const Checksum& checksum) {
  validate(checksum);
  if (checksum.hex.empty()) return;
  std::string wanted = checksum.hex;
  std::transform(wanted.begin(), wanted.end(), wanted.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string found;
  if (checksum.of_uncompressed) {
    const Bytes bytes = read_file(path);
    found = is_gzip(bytes) ? digest_hex(kind_of(checksum), gunzip(bytes, path.string()))
                           : digest_hex(kind_of(checksum), bytes);
  } else {
    found = file_digest_hex(kind_of(checksum), path);
  }
  if (found == wanted) return;
  throw DataError::corrupt(path.string(), std::string("its ") +
                                              (wanted.size() == 32 ? "MD5" : "SHA-256") +
                                              (checksum.of_uncompressed ? ", uncompressed," : "") +
                                              " is " + found + ", not " + wanted);
}

}  // namespace levin::readers
