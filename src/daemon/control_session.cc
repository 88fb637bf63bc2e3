#include "daemon/control_session.h"

#include <asio/read_until.hpp>
#include <asio/write.hpp>
#include <nlohmann/json.hpp>

#include "daemon/event_json.h"
#include "daemon/key_trace.h"

namespace merlon::daemon {

using control::Command;
using control::error_line;
using control::ok_line;
using nlohmann::json;

ControlSession::ControlSession(ControlServer& server, asio::local::stream_protocol::socket socket,
                               io::PeerCredentials peer)
    : server_(server), socket_(std::move(socket)), peer_(peer) {}

void ControlSession::close() {
  if (std::exchange(closed_, true)) return;
  if (subscription_ != 0) server_.gateway_.unsubscribe(subscription_);
  if (streaming_ && streaming_->command == Command::kTrace) trace_what_others_want(streaming_->connection);
  asio::error_code ignored;
  socket_.close(ignored);
  server_.sessions_.erase(shared_from_this());
}

void ControlSession::trace_what_others_want(const std::string& connection) {
  bool messages = false, keys = false;
  for (const auto& session : server_.sessions_) {
    const auto& other = session->streaming_;
    if (session->closed_ || !other || other->command != Command::kTrace || other->connection != connection)
      continue;
    messages = true;
    keys = keys || other->keys;
  }
  server_.gateway_.trace(connection, messages, keys);
}

void ControlSession::read() {
  asio::async_read_until(
      socket_, input_, '\n', [self = shared_from_this()](const asio::error_code& error, std::size_t size) {
        if (error) return self->close();
        const auto data = self->input_.data();
        const std::string line(asio::buffers_begin(data),
                               asio::buffers_begin(data) + static_cast<std::ptrdiff_t>(size - 1));
        self->input_.consume(size);
        self->handle(line);
        if (!self->closed_) self->read();
      });
}

void ControlSession::handle(std::string_view line) {
  const auto request = control::parse_request(line);
  if (!request) return send(error_line(request.error().message));
  if (streaming_ || waiting_) return send(error_line("this client already waits for something"));
  answer(*request);
}

void ControlSession::answer(const control::Request& request) {
  Gateway& gateway = server_.gateway_;
  const auto done = [this](const Result<>& result) {
    send(result ? ok_line(json::object()) : error_line(result.error().message));
  };
  if (!request.connection.empty() && request.command != Command::kMonitor &&
      !gateway.knows(request.connection))
    return send(error_line(
        fmt::format("no connection is called \"{}\"; `merlon status` lists them", request.connection)));
  switch (request.command) {
    case Command::kStatus:
      return send(ok_line(gateway.status()));
    case Command::kUp:
      return up(request);
    case Command::kDown:
      return done(gateway.down(request.connection, request.child));
    case Command::kRekey:
      return done(gateway.rekey(request.connection, request.child, request.ike));
    case Command::kMonitor:
    case Command::kTrace:
      return stream(request);
    case Command::kReload: {
      const auto reloaded = gateway.reload();
      return send(reloaded ? ok_line({{"warnings", *reloaded}}) : error_line(reloaded.error().message));
    }
    case Command::kMetrics:
      return send(ok_line({{"text", server_.metrics_()}}));
    case Command::kStop:
      send(ok_line(json::object()));
      return server_.stop_();
  }
}

void ControlSession::up(const control::Request& request) {
  Gateway& gateway = server_.gateway_;
  const auto before = gateway.supervisor().status(request.connection);
  const auto begun = gateway.up(request.connection, request.child);
  if (!begun) return send(error_line(begun.error().message));
  if (!request.wait) return send(ok_line(json::object()));
  waiting_ = Waiting{request.connection, before ? before->failures : 0};
  look_again();
}

void ControlSession::look_again() {
  if (!waiting_) return;
  const auto status = server_.gateway_.supervisor().status(waiting_->connection);
  if (!status) {
    waiting_.reset();
    return send(error_line("the connection is gone from the configuration"));
  }
  if (status->phase == ike::SupervisorPhase::kUp) {
    waiting_.reset();
    return send(ok_line(json::object()));
  }
  if (status->phase == ike::SupervisorPhase::kTrying || status->phase == ike::SupervisorPhase::kResolving) {
    if (status->failures < waiting_->failures) waiting_->failures = status->failures;
    if (status->failures == waiting_->failures) return;
  }
  waiting_.reset();
  send(error_line(status->last_error ? status->last_error->sentence : "the connection did not come up"));
}

void ControlSession::stream(const control::Request& request) {
  if (request.keys && peer_.uid != 0) return send(error_line("keys are shown to root only"));
  streaming_ = request;
  if (request.command == Command::kTrace) trace_what_others_want(request.connection);
  subscription_ =
      server_.gateway_.subscribe([this, request](const ike::Event& event) { send_event(event, request); },
                                 [this, request](const WorkerStalled& event) {
                                   if (request.command == Command::kMonitor && request.connection.empty())
                                     send(event_json(event).dump());
                                 });
  send(ok_line(json::object()));
}

void ControlSession::send_event(const ike::Event& event, const control::Request& request) {
  if (!request.connection.empty()) {
    const std::string of = connection_of(event);
    const bool keys = std::holds_alternative<ike::IkeKeysTraced>(event) ||
                      std::holds_alternative<ike::ChildKeysTraced>(event);
    // The first messages of a peer belong to no connection yet.
    const bool early = of.empty() && std::holds_alternative<ike::MessageTraced>(event);
    if (of != request.connection && !keys && !early) return;
  }
  if (request.keys)
    for (const KeyFileLine& line : key_file_lines(event))
      send(json{{"event", "keys"}, {"file", line.file}, {"line", line.line}}.dump());
  if (request.command == Command::kMonitor && std::holds_alternative<ike::MessageTraced>(event)) return;
  const json body = event_json(event);
  if (!body.is_null()) send(body.dump(-1, ' ', false, json::error_handler_t::replace));
}

void ControlSession::send(std::string line) {
  if (closed_) return;
  // Not closed at once: we may stand in the middle of a loop over listeners or sessions.
  // An answer to what the client asked goes out however long it is.
  if (output_.size() >= kMaxQueuedLines ||
      (!output_.empty() && output_bytes_ + line.size() > kMaxQueuedBytes)) {
    asio::error_code ignored;
    socket_.shutdown(asio::local::stream_protocol::socket::shutdown_both, ignored);
    return;
  }
  line.push_back('\n');
  output_bytes_ += line.size();
  output_.push_back(std::move(line));
  if (output_.size() == 1) write_next();
}

void ControlSession::write_next() {
  asio::async_write(socket_, asio::buffer(output_.front()),
                    [self = shared_from_this()](const asio::error_code& error, std::size_t) {
                      if (error) return self->close();
                      self->output_bytes_ -= self->output_.front().size();
                      self->output_.pop_front();
                      if (!self->output_.empty()) self->write_next();
                    });
}

}  // namespace merlon::daemon
