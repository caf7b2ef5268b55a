"""The SQL database: engine, schema, migrations and one query module per noun. SQL appears nowhere else."""
