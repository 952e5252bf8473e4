# A validator: the node with PostgreSQL of its own. A real one adds a name and TLS; see the institution template.
{
  imports = [ ./server.nix ];
  networking.hostName = "validator";
  services.birthmark.node = {
    enable = true;
    database.createLocally = true;
  };
  services.birthmark.monitoring.enable = true;
}
