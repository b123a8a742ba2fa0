#include <levin/serving/http/compression.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

#include <zlib.h>

#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/small_letters.h>
#include <levin/serving/http/http_message.h>
#include <levin/serving/protocol/refusal.h>
#include <levin/serving/protocol/weighted_list.h>

namespace levin {
namespace {

// Bits of the window, as zlib's inflateInit2 and deflateInit2 take them.
constexpr int kZlibWindow = 15;
constexpr int kGzipWindow = 15 + 16;
constexpr int kRawWindow = -15;

/// "deflate" is zlib's format (RFC 9110), but some clients send the data without its frame.
int deflate_window(std::string_view body) {
  if (body.size() < 2) return kZlibWindow;
  const int first = static_cast<unsigned char>(body[0]);
  const int second = static_cast<unsigned char>(body[1]);
  return (first & 0x0f) == 8 && (first * 256 + second) % 31 == 0 ? kZlibWindow : kRawWindow;
}

/// An inflate stream that ends with the object.
class Inflater {
 public:
  explicit Inflater(int window) {
    if (::inflateInit2(&stream, window) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { ::inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
};

Refusal damaged_body() {
  return Refusal::malformed("the compressed body of the request is damaged or incomplete");
}

std::string inflated(int window, const std::string& body, int64_t max_size) {
  if (body.size() > std::numeric_limits<uInt>::max()) {
    throw Refusal::too_large("the compressed body of the request is larger than the server takes");
  }
  Inflater inflater(window);
  z_stream& stream = inflater.stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  // One byte more than allowed, so that a body of exactly the limit is told from a larger one.
  const size_t most = static_cast<size_t>(max_size) + 1;
  std::string result;
  size_t size = 0;
  for (;;) {
    if (size == result.size()) {
      result.resize(std::min(most, std::max<size_t>(4 * body.size() + 1024, 2 * size)));
    }
    const size_t room = std::min<size_t>(result.size() - size, size_t{1} << 30);
    stream.next_out = reinterpret_cast<Bytef*>(result.data() + size);
    stream.avail_out = static_cast<uInt>(room);
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    size += room - stream.avail_out;
    if (size >= most) {
      throw Refusal::too_large(
          "the body of the request, decompressed, is larger than the server "
          "takes");
    }
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) break;
      // A gzip file may have several parts.
      if (window != kGzipWindow || ::inflateReset(&stream) != Z_OK) throw damaged_body();
    } else if (status == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (status != Z_OK || (stream.avail_in == 0 && stream.avail_out > 0)) {
      throw damaged_body();
    }
  }
  result.resize(size);
  return result;
}

}  // namespace

std::string decompress_body(std::string_view encoding, std::string body, int64_t max_size) {
  const std::string name = to_small_letters(readers::trimmed(encoding));
  if (name.empty() || name == "identity") return body;
  if (name == "gzip" || name == "x-gzip") return inflated(kGzipWindow, body, max_size);
  if (name == "deflate") return inflated(deflate_window(body), body, max_size);
  throw Refusal::unsupported(
      "the Content-Encoding of the request isn't known here; send gzip, deflate or identity");
}

bool accepts_gzip(std::string_view accept_encoding) {
  bool accepts = false;
  for_each_weighted(accept_encoding, [&](std::string_view name, double weight) {
    accepts = accepts || ((name == "gzip" || name == "x-gzip") && weight > 0.0);
  });
  return accepts;
}

std::string gzip_body(std::string_view body) {
  z_stream stream{};
  if (::deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    throw std::bad_alloc();
  }
  std::string result(::deflateBound(&stream, static_cast<uLong>(body.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  const int status = ::deflate(&stream, Z_FINISH);
  result.resize(result.size() - stream.avail_out);
  ::deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("zlib couldn't compress a response");
  return result;
}

}  // namespace levin
