// Saves two rows, in ten lines. save.cpp is a solver's: it reads acks while it writes, and resumes.
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>

#include <iostream>

#include "optistore/v1/storage_service.grpc.pb.h"

int main() {
  const char* server = std::getenv("OPTISTORE_SERVER");
  auto channel = grpc::CreateChannel(server ? server : "127.0.0.1:50051", grpc::InsecureChannelCredentials());
  auto stub = optistore::v1::StorageService::NewStub(channel);
  grpc::ClientContext context;
  auto stream = stub->SaveResult(&context);

  optistore::v1::SaveResultRequest open, rows, commit;
  google::protobuf::TextFormat::ParseFromString(
      R"(open { key: "runs/ten" problem { variables { name: "x" role: VARIABLE_ROLE_OBSERVABLE value_type: VALUE_TYPE_FLOAT64 } } })", &open);
  const double x[] = {0.5, 0.25};
  rows.mutable_batch()->set_row_count(2);
  rows.mutable_batch()->add_columns()->set_float64_values(x, sizeof x);
  commit.mutable_commit()->set_row_count(2);
  for (const auto& request : {open, rows, commit}) stream->Write(request);
  for (optistore::v1::SaveResultResponse answer; stream->Read(&answer);) std::cout << answer.ShortDebugString() << "\n";
  return stream->Finish().error_code();
}
