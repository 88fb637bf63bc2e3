#include "daemon/control_server.h"

#include <filesystem>

#include "daemon/control_session.h"

namespace merlon::daemon {

Result<std::unique_ptr<ControlServer>> ControlServer::open(asio::io_context& context, Gateway& gateway,
                                                           const std::string& path,
                                                           std::function<void()> stop,
                                                           std::function<std::string()> metrics) {
  std::error_code error;
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && std::filesystem::create_directories(folder, error))
    std::filesystem::permissions(folder,
                                 std::filesystem::perms::owner_all | std::filesystem::perms::group_read |
                                     std::filesystem::perms::group_exec,
                                 error);
  io::UnixListener::Options options;
  options.path = path;
  MERLON_TRY(auto listener, io::UnixListener::open(options));
  auto server = std::unique_ptr<ControlServer>(
      new ControlServer(context, gateway, std::move(listener), std::move(stop), std::move(metrics)));
  server->accept();
  return server;
}

ControlServer::ControlServer(asio::io_context& context, Gateway& gateway, io::UnixListener listener,
                             std::function<void()> stop, std::function<std::string()> metrics)
    : context_(context),
      gateway_(gateway),
      listener_(std::move(listener)),
      acceptor_(context, listener_.fd()),
      pause_(context),
      stop_(std::move(stop)),
      metrics_(std::move(metrics)) {}

ControlServer::~ControlServer() {
  close();
}

void ControlServer::close() {
  pause_.cancel();
  if (acceptor_.is_open()) acceptor_.release();  // the listener closes it
  for (const auto& session : std::set(sessions_)) session->close();
}

void ControlServer::accept() {
  acceptor_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& error) {
    if (error) return;
    auto client = listener_.accept();
    if (!client) return accept_later();
    if (*client) {
      if (const auto peer = io::peer_credentials(client->get())) serve(std::move(*client), *peer);
    }
    accept();
  });
}

void ControlServer::serve(io::Fd client, const io::PeerCredentials& peer) {
  if (sessions_.size() >= kMaxSessions) return;
  asio::local::stream_protocol::socket socket(context_, asio::local::stream_protocol(), client.release());
  const auto session = std::make_shared<ControlSession>(*this, std::move(socket), peer);
  sessions_.insert(session);
  session->start();
}

// Without a free descriptor the socket stays readable: asking again at once would spin.
void ControlServer::accept_later() {
  pause_.expires_after(std::chrono::milliseconds(100));
  pause_.async_wait([this](const asio::error_code& error) {
    if (!error) accept();
  });
}

void ControlServer::settled() {
  for (const auto& session : std::set(sessions_)) session->look_again();
}

}  // namespace merlon::daemon
