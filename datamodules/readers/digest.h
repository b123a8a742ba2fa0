#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace levin::readers {

enum class DigestKind { md5, sha256 };

/// A checksum that is fed piece by piece (OpenSSL's EVP).
class Digest {
 public:
  explicit Digest(DigestKind kind);
  void update(std::span<const std::byte> bytes);
  /// Lower-case hexadecimal digits: 32 for MD5, 64 for SHA-256. Nothing can be added after it.
  std::string hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

std::string digest_hex(DigestKind kind, std::span<const std::byte> bytes);
/// Of a file, read piece by piece. Throws DataError::unreadable.
std::string file_digest_hex(DigestKind kind, const std::filesystem::path& path);

/// What bytes must be: hexadecimal digits, 32 of an MD5 or 64 of a SHA-256; "" for anything.
struct Checksum {
  std::string hex = {};
  /// Of the bytes that gunzip gives, where they differ from mirror to mirror only in compression.
  bool of_uncompressed = false;
};

/// Throws ConfigError where `checksum` is neither empty nor an MD5 or a SHA-256.
void validate(const Checksum& checksum);

/// Throws DataError::corrupt where the file doesn't have the checksum (both named), or
/// DataError::unreadable. A file that isn't compressed is its own uncompressed bytes.
void verify_file(const std::filesystem::path& path, const Checksum& checksum);

}  // namespace levin::readers
