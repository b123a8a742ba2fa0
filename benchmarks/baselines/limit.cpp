// Trains softmax regression on MNIST as fast as the machine allows on one core, in AVX2 code that
// is written by hand and uses no library.
//
//   limit [--storage float32|uint8] [--batch-size 128] [--epochs 3] [--mnist DIR]
//   limit --loop peak       measures the peak arithmetic throughput of the core instead
//
// Prints a line of JSON. The weights are [10][784], as PyTorch keeps them, and vectors run over the
// pixels. Forward works on 2 rows and 5 classes at a time, with 10 accumulators and one horizontal
// sum for each logit; backward works on 5 classes and 16 pixels. A block of rows goes through
// forward, loss and backward while it is in the second-level cache, so that each row is read from
// memory once. Batches aren't gathered: there is a pointer to each row, and the rows of the next
// block are prefetched. Pixels of type uint8 are converted block by block into a buffer.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>

#include "data.h"
#include "program.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

namespace {

using Vector = __m256;

constexpr int kPixels = 784, kClasses = 10;
constexpr int kHalf = 5;        // the number of classes that are processed together
constexpr int kLogits = 16;     // the logits stored for each row, of which 10 are used
constexpr int kBlockRows = 48;  // 48 * 784 floats are 150 KB

struct Free {
  void operator()(void* pointer) const { std::free(pointer); }
};
template <class T>
using Array = std::unique_ptr<T[], Free>;

// Returns `size` zeros, aligned for the widest vectors.
template <class T>
Array<T> make_array(size_t size) {
  const size_t bytes = (size * sizeof(T) + 63) / 64 * 64;
  auto* memory = static_cast<T*>(std::aligned_alloc(64, bytes));
  std::memset(memory, 0, bytes);
  return Array<T>(memory);
}

// --- vectors -----------------------------------------------------------------------------------

Vector all(float value) { return _mm256_set1_ps(value); }
Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }

// Returns exp(x) for x <= 0 with an error of at most 2 ulp, as 2^n times a polynomial. Source:
// Cephes, expf.
Vector exp(Vector x) {
  x = _mm256_max_ps(x, all(-87.F));
  const Vector n = _mm256_round_ps(_mm256_mul_ps(x, all(1.44269504F)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  x = _mm256_fnmadd_ps(n, all(0.693359375F), x);
  x = _mm256_fnmadd_ps(n, all(-2.12194440e-4F), x);
  Vector y = all(1.9875691500e-4F);
  for (const float c :
       {1.3981999507e-3F, 8.3334519073e-3F, 4.1665795894e-2F, 1.6666665459e-1F, 5.0000001201e-1F}) {
    y = fma(y, x, all(c));
  }
  y = fma(y, _mm256_mul_ps(x, x), _mm256_add_ps(x, all(1.F)));
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

// Combines all lanes with `op`. Every lane of the result has that value.
template <class Op>
Vector over_lanes(Vector a, const Op& op) {
  a = op(a, _mm256_permute2f128_ps(a, a, 1));
  a = op(a, _mm256_shuffle_ps(a, a, 0x4e));
  return op(a, _mm256_shuffle_ps(a, a, 0xb1));
}

// Returns the sums over the lanes of each of four vectors.
__m128 sums(Vector a, Vector b, Vector c, Vector d) {
  const Vector t = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

Vector pixels_to_floats(const uint8_t* pixels) {
  __m128i eight;
  std::memcpy(&eight, pixels, 8);
  return _mm256_mul_ps(all(1 / 255.F), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight)));
}

// --- the model ---------------------------------------------------------------------------------

struct Parameter {
  explicit Parameter(size_t count)
      : size(count),
        value(make_array<float>(count)),
        gradient(make_array<float>(count)),
        first_moment(make_array<float>(count)),
        second_moment(make_array<float>(count)) {}
  size_t size;
  Array<float> value, gradient, first_moment, second_moment;
};

struct Model {
  Model() {
    std::mt19937 random(0);
    std::uniform_real_distribution<float> uniform(-1 / 28.F, 1 / 28.F);
    for (size_t i = 0; i < weight.size; ++i) weight.value[i] = uniform(random);
  }
  Parameter weight{kClasses * kPixels};
  Parameter bias{kLogits};
};

class Adam {
 public:
  void step(Model& model) {
    beta1_power_ *= 0.9;
    beta2_power_ *= 0.999;
    update(model.weight);
    update(model.bias);
  }

 private:
  void update(Parameter& p) const {
    const Vector rate = all(static_cast<float>(1e-3 / (1 - beta1_power_)));
    const Vector scale = all(static_cast<float>(1 / std::sqrt(1 - beta2_power_)));
    for (size_t i = 0; i < p.size; i += 8) {
      float* m_at = &p.first_moment[i];
      float* v_at = &p.second_moment[i];
      const Vector g = _mm256_load_ps(&p.gradient[i]);
      const Vector m = fma(all(0.9F), _mm256_load_ps(m_at), _mm256_mul_ps(all(0.1F), g));
      const Vector v =
          fma(all(0.999F), _mm256_load_ps(v_at), _mm256_mul_ps(all(0.001F), _mm256_mul_ps(g, g)));
      _mm256_store_ps(m_at, m);
      _mm256_store_ps(v_at, v);
      const Vector divisor = fma(_mm256_sqrt_ps(v), scale, all(1e-8F));
      const Vector change = _mm256_div_ps(_mm256_mul_ps(rate, m), divisor);
      _mm256_store_ps(&p.value[i], _mm256_sub_ps(_mm256_load_ps(&p.value[i]), change));
    }
  }

  double beta1_power_ = 1, beta2_power_ = 1;
};

// Computes the logits of kRows rows for 5 classes. `weight`, `bias` and `logits` point to the first
// of these classes.
template <int kRows>
void forward(const float* const* x, const float* weight, const float* bias, float* logits) {
  Vector sum[kRows][kHalf];
  for (auto& row : sum) {
    for (Vector& value : row) value = _mm256_setzero_ps();
  }
  for (int i = 0; i < kPixels; i += 8) {
    Vector pixels[kRows];
    for (int r = 0; r < kRows; ++r) pixels[r] = _mm256_loadu_ps(x[r] + i);
#pragma GCC unroll 5
    for (int k = 0; k < kHalf; ++k) {
      const Vector w = _mm256_load_ps(weight + k * kPixels + i);
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) sum[r][k] = fma(pixels[r], w, sum[r][k]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    const Vector* s = sum[r];
    float* z = logits + r * kLogits;
    _mm_storeu_ps(z, _mm_add_ps(_mm_loadu_ps(bias), sums(s[0], s[1], s[2], s[3])));
    z[4] = bias[4] + _mm_cvtss_f32(sums(s[4], s[4], s[4], s[4]));
  }
}

// Turns the logits of a row into the gradient (softmax - one-hot) * share; returns its loss.
float loss_and_gradient(float* z, int label, float share) {
  const Vector two = _mm256_castsi256_ps(_mm256_setr_epi32(-1, -1, 0, 0, 0, 0, 0, 0));
  const float of_label = z[label];
  Vector a = _mm256_load_ps(z);
  Vector b = _mm256_blendv_ps(all(-1e30F), _mm256_load_ps(z + 8), two);
  const auto max = [](Vector x, Vector y) { return _mm256_max_ps(x, y); };
  const auto add = [](Vector x, Vector y) { return _mm256_add_ps(x, y); };
  const Vector highest = over_lanes(max(a, b), max);
  a = exp(_mm256_sub_ps(a, highest));
  b = _mm256_and_ps(exp(_mm256_sub_ps(b, highest)), two);
  const float sum = _mm256_cvtss_f32(over_lanes(add(a, b), add));
  _mm256_store_ps(z, _mm256_mul_ps(a, all(share / sum)));
  _mm256_store_ps(z + 8, _mm256_mul_ps(b, all(share / sum)));
  z[label] -= share;
  return std::log(sum) + _mm256_cvtss_f32(highest) - of_label;
}

// Adds the contribution of `rows` rows to the gradient of 5 classes at 16 pixels.
void backward(const float* const* x, int pixel, int rows, const float* error, float* gradient) {
  Vector sum[kHalf][2];
#pragma GCC unroll 5
  for (int k = 0; k < kHalf; ++k) {
    sum[k][0] = _mm256_load_ps(gradient + k * kPixels);
    sum[k][1] = _mm256_load_ps(gradient + k * kPixels + 8);
  }
  for (int r = 0; r < rows; ++r) {
    const Vector low = _mm256_loadu_ps(x[r] + pixel), high = _mm256_loadu_ps(x[r] + pixel + 8);
#pragma GCC unroll 5
    for (int k = 0; k < kHalf; ++k) {
      const Vector e = _mm256_broadcast_ss(error + r * kLogits + k);
      sum[k][0] = fma(e, low, sum[k][0]);
      sum[k][1] = fma(e, high, sum[k][1]);
    }
  }
#pragma GCC unroll 5
  for (int k = 0; k < kHalf; ++k) {
    _mm256_store_ps(gradient + k * kPixels, sum[k][0]);
    _mm256_store_ps(gradient + k * kPixels + 8, sum[k][1]);
  }
}

void all_logits(const Model& model, const float* const* x, int rows, float* logits) {
  for (int k = 0; k < kClasses; k += kHalf) {
    const float* weight = &model.weight.value[static_cast<size_t>(k * kPixels)];
    const float* bias = model.bias.value.get() + k;
    int r = 0;
    for (; r + 2 <= rows; r += 2) forward<2>(x + r, weight, bias, logits + r * kLogits + k);
    for (; r < rows; ++r) forward<1>(x + r, weight, bias, logits + r * kLogits + k);
  }
}

// Adds the contribution of a block of rows to the gradients. Returns the sum of its losses.
float block(Model& model, const float* const* x, const uint8_t* labels, int rows, float share) {
  alignas(64) float errors[kBlockRows * kLogits];
  all_logits(model, x, rows, errors);
  float loss = 0;
  float* bias = model.bias.gradient.get();
  for (int r = 0; r < rows; ++r) {
    float* error = errors + r * kLogits;
    loss += loss_and_gradient(error, labels[r], share);
    for (int k = 0; k < kLogits; k += 8) {
      _mm256_store_ps(bias + k, _mm256_add_ps(_mm256_load_ps(bias + k), _mm256_load_ps(error + k)));
    }
  }
  float* weight = model.weight.gradient.get();
  for (int i = 0; i < kPixels; i += 16) {
    for (int k = 0; k < kClasses; k += kHalf) {
      backward(x, i, rows, errors + k, weight + k * kPixels + i);
    }
  }
  return loss;
}

// --- training ----------------------------------------------------------------------------------

// The images as float or as uint8. The other array is empty.
struct Part {
  Array<float> floats;
  Array<uint8_t> bytes;
  Array<uint8_t> labels;
};

Part load(const bench::Arguments& arguments, const std::string& name, int64_t rows) {
  const auto pixels = static_cast<size_t>(rows * kPixels);
  const std::string path = arguments.mnist + "/" + name;
  Part part{nullptr, make_array<uint8_t>(pixels), make_array<uint8_t>(static_cast<size_t>(rows))};
  bench::read_idx(path + "-images-idx3-ubyte", part.bytes.get(), rows * kPixels);
  bench::read_idx(path + "-labels-idx1-ubyte", part.labels.get(), rows);
  if (arguments.storage == "uint8") return part;
  part.floats = make_array<float>(pixels);
  for (size_t i = 0; i < pixels; ++i) part.floats[i] = static_cast<float>(part.bytes[i]) / 255.F;
  part.bytes.reset();
  return part;
}

class Trainer {
 public:
  explicit Trainer(const Part& part) : part_(part) {}

  // Does one step with the rows whose numbers are in `index`. Returns the sum of their losses.
  float step(Model& model, const uint32_t* index, int64_t batch_size) {
    for (Parameter* p : {&model.weight, &model.bias}) {
      std::memset(p->gradient.get(), 0, p->size * sizeof(float));
    }
    float loss = 0;
    for (int64_t start = 0; start < batch_size; start += kBlockRows) {
      const int rows = static_cast<int>(std::min<int64_t>(kBlockRows, batch_size - start));
      const float* x[kBlockRows];
      uint8_t labels[kBlockRows];
      for (int r = 0; r < rows; ++r) {
        const size_t row = index[start + r];
        labels[r] = part_.labels[row];
        x[r] = pixels(row, r);
        if (start + r + kBlockRows < batch_size) prefetch(index[start + r + kBlockRows]);
      }
      loss += block(model, x, labels, rows, 1.F / static_cast<float>(batch_size));
    }
    adam_.step(model);
    return loss;
  }

 private:
  const float* pixels(size_t row, int place) {
    if (part_.floats) return &part_.floats[row * kPixels];
    float* to = &converted_[static_cast<size_t>(place * kPixels)];
    const uint8_t* from = &part_.bytes[row * kPixels];
    for (int i = 0; i < kPixels; i += 8) _mm256_storeu_ps(to + i, pixels_to_floats(from + i));
    return to;
  }
  void prefetch(size_t row) const {
    const size_t size = part_.floats ? kPixels * sizeof(float) : kPixels;
    const char* from = part_.floats ? reinterpret_cast<const char*>(&part_.floats[row * kPixels])
                                    : reinterpret_cast<const char*>(&part_.bytes[row * kPixels]);
    for (size_t i = 0; i < size; i += 64) _mm_prefetch(from + i, _MM_HINT_T1);
  }

  const Part& part_;
  Adam adam_;
  Array<float> converted_ = make_array<float>(kBlockRows * kPixels);
};

void train(Model& model, const Part& part, const bench::Arguments& arguments,
           bench::Recorder& recorder) {
  Trainer trainer(part);
  std::vector<uint32_t> order(bench::kTrainRows);
  std::mt19937 random(1);
  recorder.start();
  for (int64_t epoch = 0; epoch < arguments.epochs; ++epoch) {
    std::iota(order.begin(), order.end(), 0U);
    for (size_t i = order.size() - 1; i > 0; --i) {
      std::swap(order[i], order[uint64_t{random()} * (i + 1) >> 32]);
    }
    for (int64_t start = 0; start < bench::kTrainRows; start += arguments.batch_size) {
      const int64_t rows = std::min(arguments.batch_size, bench::kTrainRows - start);
      if (!std::isfinite(trainer.step(model, order.data() + start, rows))) {
        throw std::runtime_error("the loss isn't finite");
      }
      recorder.step();
    }
    recorder.epoch();
  }
  recorder.finish();
}

double accuracy(const Model& model, const bench::Arguments& arguments) {
  auto as_floats = arguments;
  as_floats.storage = "float32";
  const Part test = load(as_floats, "t10k", bench::kTestRows);
  alignas(64) float logits[kLogits];
  int64_t right = 0;
  for (size_t row = 0; row < bench::kTestRows; ++row) {
    const float* x = &test.floats[row * kPixels];
    all_logits(model, &x, 1, logits);
    right += std::max_element(logits, logits + kClasses) - logits == test.labels[row] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(bench::kTestRows);
}

// Runs twelve independent chains of multiply-adds, whose throughput no program can exceed.
void print_peak() {
  constexpr int kChains = 12;
  constexpr long kTimes = 15'000'000;
  double best = 0;
  for (int repeat = 0; repeat < 8; ++repeat) {
    Vector a[kChains];
    for (int i = 0; i < kChains; ++i) a[i] = all(static_cast<float>(i));
    const auto start = std::chrono::steady_clock::now();
    for (long n = 0; n < kTimes; ++n) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) a[i] = fma(a[i], all(0.999F), all(0.001F));
      asm volatile(""
                   : "+x"(a[0]), "+x"(a[1]), "+x"(a[2]), "+x"(a[3]), "+x"(a[4]), "+x"(a[5]),
                     "+x"(a[6]), "+x"(a[7]), "+x"(a[8]), "+x"(a[9]), "+x"(a[10]), "+x"(a[11]));
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    best = std::max(best, kChains * 16.0 * kTimes / spent.count() / 1e9);
  }
  std::printf("{\"gflops\": %.1f, \"built\": %s}\n", best,
              bench::quoted(bench::built_by()).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    bench::Recorder recorder;
    if (argc == 3 && std::string(argv[1]) == "--loop" && std::string(argv[2]) == "peak") {
      print_peak();
      return 0;
    }
    const bench::Arguments arguments = bench::parse(argc, argv);
    if (arguments.problem != "logistic_regression") {
      throw std::invalid_argument("limit knows only logistic_regression");
    }
    const Part part = load(arguments, "train", bench::kTrainRows);
    Model model;
    train(model, part, arguments, recorder);
    recorder.print(arguments, bench::kTrainRows, accuracy(model, arguments), "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "limit: %s\n", error.what());
    return 1;
  }
}

#else

int main() {
  std::fprintf(stderr,
               "limit: it is written for AVX2 and FMA, which this compiler's machine lacks\n");
  return 77;
}

#endif
