#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// The secret that only the ranks of one run share: the text of the environment variable
/// LEVIN_RUN_SECRET. Levin's launcher makes one for the ranks of a host; for ranks on several hosts
/// the user sets the variable to the same random text everywhere.
///
/// With it, what ranks leave for each other in the store at which they meet can be neither read nor
/// changed by other programs, although any program that reaches the port can talk to the store:
///
///     const RunSecret secret(cluster.secret);
///     store.set(key, secret.seal(key, value));
///     const auto value = secret.open(key, store.get(key));    // nothing: another program wrote it
///
/// Values are encrypted and authenticated by AES-256-GCM (NIST SP 800-38D) with a random nonce, and
/// bound to their keys. Other programs can still delete values or make the store slow, which ends
/// the run with an error. Without a secret, values are neither changed nor checked.
class RunSecret {
 public:
  /// An empty text means that there is no secret.
  explicit RunSecret(std::string_view text = {});

  bool is_set() const { return !key_.empty(); }
  /// Returns the value as it is stored under `key`. Throws DistributedError if OpenSSL fails.
  std::string seal(std::string_view key, std::string_view value) const;
  /// Returns the value from what is stored under `key`; nothing if it wasn't sealed with this
  /// secret for this key.
  std::optional<std::string> open(std::string_view key, std::string_view sealed) const;
  /// Returns 32 hexadecimal digits that only ranks with this secret can make of `text`. Without a
  /// secret, returns `text`.
  std::string proof(std::string_view text) const;

 private:
  std::string key_;  // 32 bytes, or empty
};

/// Returns a random text for LEVIN_RUN_SECRET, 32 hexadecimal digits. Throws DistributedError if
/// the system gives no random bytes.
std::string random_secret();

}  // namespace levin
