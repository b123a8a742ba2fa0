#include <levin/datamodules/synthetic_clicks.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <levin/datamodules/sparse_batch.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
constexpr size_t kSharedWeights = 4096;

/// SplitMix64 (Steele, Lea, Flood 2014): each input has an output of its own.
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// A number from 0 to below 1 that depends on the key alone.
double keyed_uniform(uint64_t key) { return static_cast<double>(mixed(key) >> 11) * 0x1p-53; }

/// The values below which the shares 0, 1/cells, 2/cells ... of a Zipf distribution of `values`
/// values lie; `shares` are those of the values, not yet divided by their sum.
std::vector<uint32_t> zipf_quantiles(const std::vector<double>& shares, size_t values,
                                     size_t cells) {
  double total = 0.0;
  for (size_t v = 0; v < values; ++v) total += shares[v];
  std::vector<uint32_t> quantiles(cells + 1, static_cast<uint32_t>(values) - 1);
  double below = 0.0;
  size_t cell = 0;
  for (size_t v = 0; v < values; ++v) {
    below += shares[v];
    while (cell < cells && static_cast<double>(cell) * total < below * static_cast<double>(cells)) {
      quantiles[cell++] = static_cast<uint32_t>(v);
    }
  }
  return quantiles;
}

/// The quantiles of all fields, which are the same for all seeds and made once.
std::vector<std::vector<uint32_t>> make_quantiles(size_t cells) {
  constexpr double kExponent = 1.1;
  std::vector<double> shares;
  for (int v = 1; v <= 1000000; ++v) shares.push_back(std::pow(v, -kExponent));
  std::vector<std::vector<uint32_t>> fields;
  for (uint64_t f = 0; f < SyntheticClicks::kFields; ++f) {
    const double size = std::log(10.0) + keyed_uniform(f + 1) * std::log(1e5);
    fields.push_back(zipf_quantiles(shares, static_cast<size_t>(std::exp(size)), cells));
  }
  return fields;
}

}  // namespace

SyntheticClicks::SyntheticClicks(SyntheticClicksOptions options) : options_(options) {
  if (options_.bits < 10 || options_.bits > 30) {
    throw ConfigError::invalid_value("bits", std::to_string(options_.bits),
                                     "must be from 10 to 30");
  }
  if (options_.rows && *options_.rows < 1) {
    throw ConfigError::invalid_value("rows", std::to_string(*options_.rows), "must be at least 1");
  }
  static const auto kQuantiles = make_quantiles(size_t{1} << kCellBits);
  const int64_t columns = int64_t{1} << options_.bits;
  for (int64_t f = 0; f < kFields; ++f) {
    const int64_t first = columns * f / kFields;
    const int64_t behind = columns * (f + 1) / kFields;
    fields_.push_back({kQuantiles[static_cast<size_t>(f)].data(), static_cast<uint32_t>(first),
                       static_cast<uint32_t>(behind - first)});
  }
  for (size_t i = 0; i < kSharedWeights; ++i) {
    const double normal = std::sqrt(-2.0 * std::log(1.0 - keyed_uniform(3 * i + 1000))) *
                          std::cos(6.283185307179586 * keyed_uniform(3 * i + 1001));
    const bool is_used = keyed_uniform(3 * i + 1002) < 0.1;
    weights_.push_back(is_used ? static_cast<float>(normal) : 0.0F);
  }
  // The bias makes about a quarter of the targets 1, and is the same for all seeds.
  const uint64_t seed = std::exchange(options_.seed, 0);
  std::vector<float> scores;
  std::vector<int32_t> row(kFields);
  for (int64_t i = 0; i < 4000; ++i) scores.push_back(write_row(-1 - i, row.data()));
  std::nth_element(scores.begin(), scores.begin() + 3000, scores.end());
  bias_ = -scores[3000];
  options_.seed = seed;
}

/// Writes the columns of a row, and returns its score.
float SyntheticClicks::write_row(int64_t row, int32_t* columns) const {
  uint64_t state = mixed((options_.seed << 48) ^ static_cast<uint64_t>(row) * kGolden);
  float score = bias_;
  constexpr uint64_t kFraction = (uint64_t{1} << (32 - kCellBits)) - 1;
  for (size_t f = 0; f < kFields; ++f) {
    if (f % 2 == 0) state += kGolden;
    const uint64_t both = f % 2 == 0 ? mixed(state) : mixed(state) >> 32;
    const uint64_t random = both & 0xffffffff;
    const Field& field = fields_[f];
    const auto* cell = field.quantiles + (random >> (32 - kCellBits));
    const uint64_t value =
        cell[0] + ((random & kFraction) * (cell[1] - cell[0]) >> (32 - kCellBits));
    const uint32_t hash = static_cast<uint32_t>((value + 1) * kGolden >> 32);
    const uint32_t column =
        field.first_column + static_cast<uint32_t>(uint64_t{hash} * field.columns >> 32);
    columns[f] = static_cast<int32_t>(column);
    score += weights_[column * kGolden >> 52];
  }
  return score;
}

void SyntheticClicks::get_batch(std::span<const int64_t> rows, Batch& out) const {
  if (options_.rows) require_rows_in_range(rows, *options_.rows);
  const auto count = static_cast<int64_t>(rows.size());
  auto& entries = out.entries();
  entries.resize(2);
  entries[0].first = "input";
  entries[1].first = "target";
  SparseRoom room(std::exchange(entries[0].second, Rows()), count, count * kFields,
                  /*has_values=*/false);
  auto* target = entries[1].second.allocate(count, {}, at::kLong).mutable_data_ptr<int64_t>();
  room.offsets[0] = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    const float score = write_row(row, room.indices + i * kFields);
    const auto key = static_cast<uint64_t>(row) * kGolden + options_.seed + 7;
    target[i] = keyed_uniform(key) * (1.0 + std::exp(-static_cast<double>(score))) < 1.0 ? 1 : 0;
    room.offsets[i + 1] = (i + 1) * kFields;
  }
  entries[0].second = room.finish(int64_t{1} << options_.bits);
  out.row_ids().assign(rows.begin(), rows.end());
}

Fields describe(SyntheticClicksDataModuleOptions& o) {
  return fields_of<SyntheticClicksDataModuleOptions>({
      {"rows", &o.rows, "training rows; null: a stream that never ends"},
      {"eval_rows", &o.eval_rows, "rows to validate on, and others to test on"},
      {"bits", &o.bits, "rows have 2^bits columns"},
      {"seed", &o.seed, "seed of the rows"},
      {"batch_size", &o.batch_size, "rows of a batch on each device"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
  });
}

SyntheticClicksDataModule::SyntheticClicksDataModule(SyntheticClicksDataModuleOptions options)
    : options_(options) {
  SyntheticClicks({.rows = options_.rows, .bits = options_.bits});  // throws if they can't be
  if (options_.eval_rows >= 0) return;
  throw ConfigError::invalid_value("eval_rows", std::to_string(options_.eval_rows),
                                   "must be at least 0");
}

DataLoaders SyntheticClicksDataModule::loader(std::optional<int64_t> rows, uint64_t salt) const {
  if (rows == 0) return {};
  return DataLoader(std::make_shared<SyntheticClicks>(SyntheticClicksOptions{
                        .rows = rows,
                        .seed = 3 * static_cast<uint64_t>(options_.seed) + salt,
                        .bits = options_.bits}),
                    {.batch_size = options_.batch_size, .num_workers = options_.num_workers});
}

DataLoaders SyntheticClicksDataModule::train_dataloader() { return loader(options_.rows, 0); }
DataLoaders SyntheticClicksDataModule::val_dataloader() { return loader(options_.eval_rows, 1); }
DataLoaders SyntheticClicksDataModule::test_dataloader() { return loader(options_.eval_rows, 2); }

Value SyntheticClicksDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

}  // namespace levin
