"""What is asked of the models: counted, limited, measured."""
