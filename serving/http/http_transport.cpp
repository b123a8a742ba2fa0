#include <levin/serving/http/http_transport.h>

#include <memory>
#include <utility>

#include <boost/asio/ssl/stream.hpp>

namespace levin {
namespace {

using boost::asio::ip::tcp;
using TransportError = boost::system::error_code;

class TcpConnection final : public ServerConnection {
 public:
  TcpConnection(HttpWorker& worker, tcp::socket socket)
      : ServerConnection(worker), socket_(std::move(socket)) {}

 private:
  std::shared_ptr<TcpConnection> self() {
    return std::static_pointer_cast<TcpConnection>(shared_from_this());
  }

  tcp::socket& socket() override { return socket_; }

  void shake_hands() override { handshaken(true); }

  void read(char* to, size_t most) override {
    socket_.async_read_some(boost::asio::buffer(to, most),
                            [self = self()](const TransportError& error, size_t count) {
                              self->received(!error, count);
                            });
  }

  void write(const Buffers& buffers) override {
    auto report = [self = self()](const TransportError& error, size_t count) {
      self->sent(!error, count);
    };
    // One buffer takes less of the system's time than an array of them.
    if (buffers[1].size() == 0) {
      socket_.async_write_some(boost::asio::buffer(buffers[0]), std::move(report));
    } else {
      socket_.async_write_some(buffers, std::move(report));
    }
  }

  void say_goodbye() override { said_goodbye(); }

  tcp::socket socket_;
};

class TlsConnection final : public ServerConnection {
 public:
  TlsConnection(HttpWorker& worker, tcp::socket socket, boost::asio::ssl::context& tls)
      : ServerConnection(worker), stream_(std::move(socket), tls) {}

 private:
  std::shared_ptr<TlsConnection> self() {
    return std::static_pointer_cast<TlsConnection>(shared_from_this());
  }

  tcp::socket& socket() override { return stream_.next_layer(); }

  void shake_hands() override {
    stream_.async_handshake(
        boost::asio::ssl::stream_base::server,
        [self = self()](const TransportError& error) { self->handshaken(!error); });
  }

  void read(char* to, size_t most) override {
    stream_.async_read_some(boost::asio::buffer(to, most),
                            [self = self()](const TransportError& error, size_t count) {
                              self->received(!error, count);
                            });
  }

  void write(const Buffers& buffers) override {
    // A TLS stream writes one buffer at a time.
    const auto& first = buffers[0].size() > 0 ? buffers[0] : buffers[1];
    stream_.async_write_some(
        boost::asio::const_buffer(first),
        [self = self()](const TransportError& error, size_t count) { self->sent(!error, count); });
  }

  void say_goodbye() override {
    stream_.async_shutdown([self = self()](const TransportError&) { self->said_goodbye(); });
  }

  boost::asio::ssl::stream<tcp::socket> stream_;
};

}  // namespace

std::shared_ptr<ServerConnection> make_server_connection(HttpWorker& worker, tcp::socket socket,
                                                         boost::asio::ssl::context* tls) {
  if (tls == nullptr) return std::make_shared<TcpConnection>(worker, std::move(socket));
  return std::make_shared<TlsConnection>(worker, std::move(socket), *tls);
}

}  // namespace levin
