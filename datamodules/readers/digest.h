#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace levin::readers {

/// The kinds of checksums that publishers of data sets give.
enum class DigestKind { md5, sha256 };

/// A checksum that is fed piece by piece, computed by OpenSSL. Move-only.
///
///     Digest digest(DigestKind::sha256);
///     digest.update(bytes);
///     const std::string hex = digest.hex();
class Digest {
 public:
  /// Throws DataError if OpenSSL doesn't offer the kind; in FIPS mode it has no MD5.
  explicit Digest(DigestKind kind);
  void update(std::span<const std::byte> bytes);
  /// Returns the checksum as lower-case hexadecimal digits: 32 for MD5, 64 for SHA-256. Call it
  /// once, after the last `update`.
  std::string hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// The checksum of bytes in memory, as `Digest::hex` writes it.
std::string digest_hex(DigestKind kind, std::span<const std::byte> bytes);
/// The checksum of a file, which is read 1 MiB at a time. Throws DataError::unreadable if the file
/// can't be read.
std::string file_digest_hex(DigestKind kind, const std::filesystem::path& path);

/// The checksum that a file must have.
struct Checksum {
  /// Hexadecimal digits in upper or lower case: 32 are an MD5, 64 a SHA-256. If empty, any file
  /// will do.
  std::string hex = {};
  /// Whether it is the checksum of the bytes that `gunzip` gives, for files that differ from mirror
  /// to mirror only in their compression. A file that isn't compressed counts as it is.
  bool of_uncompressed = false;
};

/// Throws ConfigError if `checksum` is neither empty nor an MD5 or a SHA-256.
void validate(const Checksum& checksum);

/// Returns how the checksum of a file differs from the one it must have: "its SHA-256 is 3f..., but
/// 9b... was expected"; nothing if the file has it. Throws what `verify_file` throws for files that
/// can't be read or unpacked.
std::optional<std::string> checksum_fault(const std::filesystem::path& path,
                                          const Checksum& checksum);

/// Checks a file. Throws DataError::corrupt, with both checksums, if the file has another one, and
/// DataError::unreadable if it can't be read; ConfigError like `validate`. Reads the whole file
/// into memory if `of_uncompressed` is set, else 1 MiB at a time.
void verify_file(const std::filesystem::path& path, const Checksum& checksum);

}  // namespace levin::readers
