#include <levin/datamodules/tables/hashed_place.h>

#include <levin/datamodules/readers/murmur_hash.h>

namespace levin::tables {

int64_t hashed_place(std::string_view text, int64_t columns) {
  const int64_t hash = static_cast<int32_t>(readers::murmur_hash(text));
  return (hash < 0 ? -hash : hash) % columns;
}

}  // namespace levin::tables
