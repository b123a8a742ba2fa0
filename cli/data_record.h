#pragma once

#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/framework/data/dataloader.h>

namespace levin {

/// The most bytes of a source of data that are read whole for its checksum. Of a larger source, a
/// checksum is of samples, and says so.
inline constexpr uint64_t kWholeChecksumBytes = uint64_t{256} << 20;

/// Loaders of a fit under the name of what they are for, "train" or "validation".
struct NamedLoaders {
  std::string name{};
  const DataLoaders* loaders = nullptr;
};

/// Says which data loaders read, by checksums (SHA-256), as an object that run.json has as "data":
///
///     {"sources": [{"kind": "tensors", "sha256": "a41c...", "sampled": false, "count": 2,
///                   "parts": [{"name": "input", "dtype": "float32", "shape": [1797, 64],
///                              "bytes": 460032, "sha256": "09fe..."}, ...]}],
///      "sets": [{"name": "train", "source": 0, "rows": 1439, "rows_sha256": "77b0..."}, ...]}
///
/// A source is what a data set reads: tensors in memory, files (`HasSourceFiles`), or, if it is a
/// class of which neither is known, its first and last rows as `Dataset::get_batch` gives them.
/// Sets that are parts of the same data set share a source. `rows_sha256` is of the numbers of the
/// rows that the set takes (int64, little-endian), null if it takes all of them in their order.
///
/// The checksum of a part is that of its bytes, as `sha256sum` prints it for a file and hashlib for
/// `array.tobytes()`. That of the source is of a line for each part with its name, its type and
/// shape or its size, and its checksum. Transforms of the loader come later, so they don't count.
///
/// If a source has more than `whole_bytes`, blocks of 1 MiB or less at its beginning, at its end
/// and evenly between count instead of all bytes, 64 MiB in all; of more than 2,048 files, as many
/// evenly chosen ones. "sampled" is then true. A source without a checksum has a "note" that says
/// why.
Value data_record(const std::vector<NamedLoaders>& loaders,
                  uint64_t whole_bytes = kWholeChecksumBytes);

}  // namespace levin
